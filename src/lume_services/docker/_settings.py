"""The variables of a stack: what its compose file refers to, and what its users set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from lume_services import plugins
from lume_services._variables import given
from lume_services.docker._folder import StackFolder
from lume_services.docker.image import DEFAULT_IMAGE
from lume_services.errors import ConfigurationError, MissingDependencyError
from lume_services.services.models.settings import ModelDBConfig
from lume_services.services.results.settings import ResultsDBConfig
from lume_services.settings import LUMEServicesSettings

__all__ = [
    "HOST",
    "IMAGE",
    "MOUNT",
    "PORTS",
    "PREFECT_PORT",
    "check_drivers",
    "home",
    "of_compose",
    "of_users",
    "prepare",
]

HOST: Final = "127.0.0.1"
PREFECT_PORT: Final = "LUME_PREFECT__SERVER__HOST_PORT"
PORTS: Final = {"LUME_MODEL_DB__PORT": 3306, "LUME_RESULTS_DB__PORT": 27017, PREFECT_PORT: 4200}
"""The variables of the ports on this machine, with their defaults."""
MOUNT: Final = "LUME_MOUNTED_FILESYSTEM__"
IMAGE: Final = "LUME_PREFECT__DEFAULT_IMAGE"
_TAG: Final = "LUME_PREFECT__SERVER__TAG"
# Of the whole settings these parts are the stack's own, whatever the environment says of them.
_OURS: Final = {"model_db": None, "results_db": None, "prefect": None}


def home() -> Path:
    """``LUME_HOME``.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    return LUMEServicesSettings(**_OURS, mounted_filesystem=None).home


def of_compose(folder: StackFolder) -> dict[str, str]:
    """What the compose file refers to: as the environment says, or as it was at the last start.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    texts = folder.variables() | {name: text for name, text in given().items() if text}
    tag = texts.get(_TAG)
    if tag is not None and not tag.startswith("3"):
        raise ConfigurationError(
            f"{_TAG}={tag!r} is not of Prefect 3. Leave it out, or name a tag of "
            "https://hub.docker.com/r/prefecthq/prefect."
        )
    asked = {
        name.removeprefix(MOUNT).lower(): text
        for name, text in texts.items()
        if name.startswith(MOUNT)
    }
    mount: Any = {"mount_path": str(folder.files), "mount_alias": "/lume/files", **asked}
    mounted = LUMEServicesSettings(**_OURS, mounted_filesystem=mount).to_environment()
    path = f"{MOUNT}MOUNT_PATH"
    mounted[path] = str(Path(mounted[path]).absolute())
    return {
        "STACK_SECRETS": str(folder.secrets),
        "STACK_USER": f"{os.getuid()}:{os.getgid()}",
        IMAGE: texts.get(IMAGE, DEFAULT_IMAGE),
        **({} if tag is None else {_TAG: tag}),
        **{name: _port(name, texts.get(name, str(port))) for name, port in PORTS.items()},
        **{name: text for name, text in mounted.items() if name.startswith(MOUNT)},
    }


def of_users(variables: Mapping[str, str], passwords: Mapping[str, str]) -> dict[str, str]:
    """What those set who use the stack from this machine.

    Args:
        variables: Those of the compose file.
        passwords: The passwords, by the names of their files.
    """
    return {
        "LUME_HOME": str(home()),
        "LUME_BACKEND": "process",
        "LUME_MODEL_DB__HOST": HOST,
        "LUME_MODEL_DB__PORT": variables["LUME_MODEL_DB__PORT"],
        "LUME_MODEL_DB__USER": "lume",
        "LUME_MODEL_DB__PASSWORD": passwords["mysql_password"],
        "LUME_MODEL_DB__DATABASE": "lume_services_models",
        "LUME_RESULTS_DB__HOST": HOST,
        "LUME_RESULTS_DB__PORT": variables["LUME_RESULTS_DB__PORT"],
        "LUME_RESULTS_DB__USERNAME": "lume",
        "LUME_RESULTS_DB__PASSWORD": passwords["mongodb_password"],
        "LUME_RESULTS_DB__DATABASE": "results",
        "LUME_PREFECT__SERVER__HOST": f"http://{HOST}",
        PREFECT_PORT: variables[PREFECT_PORT],
        **{name: text for name, text in variables.items() if name.startswith(MOUNT)},
        # What is not asked for may be another one in the next version.
        **({_TAG: variables[_TAG]} if _TAG in variables else {}),
        **({IMAGE: variables[IMAGE]} if variables[IMAGE] != DEFAULT_IMAGE else {}),
    }


def check_drivers() -> None:
    """See whether this machine can use a stack, before one is started.

    Raises:
        MissingDependencyError: A package is not installed.
    """
    if missing := [name for name in ("prefect", "pymongo", "pymysql") if not find_spec(name)]:
        raise MissingDependencyError(
            f"The stack is used by the package {missing[0]!r}, which is not installed: "
            "pip install 'lume-services[docker,mysql,mongodb]'"
        )


def prepare(variables: Mapping[str, str]) -> None:
    """Log in at the databases as users do, and make the registry's tables.

    Args:
        variables: Those of users.

    Raises:
        ModelDBError: The registry is away or refuses.
        ResultsDBError: The results database is away or refuses.
    """
    from lume_services.services.models import ModelDBService
    from lume_services.services.models.db import ModelDB

    model_db = ModelDB(ModelDBConfig(**_part(variables, "LUME_MODEL_DB__")))
    try:
        ModelDBService(model_db).apply_schema()
    finally:
        model_db.close()
    store = plugins.load(plugins.RESULTS_DBS, "mongodb", variable="The stack's results database")
    results_db = store.from_settings(
        ResultsDBConfig(**_part(variables, "LUME_RESULTS_DB__")), home=Path(variables["LUME_HOME"])
    )
    try:
        results_db.version()
    finally:
        results_db.close()


def _part(variables: Mapping[str, str], prefix: str) -> dict[str, Any]:
    part: dict[str, Any] = {
        name.removeprefix(prefix).lower(): text
        for name, text in variables.items()
        if name.startswith(prefix)
    }
    return {**part, "port": int(part["port"]), "password": SecretStr(part["password"])}


def _port(name: str, text: str) -> str:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"{name}={text!r} is not a port: give a number up to 65535.")
    return text
