"""Manifests of a worker in a cluster, and of Prefect's server, made of the settings."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import yaml

from lume_services.docker.image import image_of_jobs
from lume_services.errors import ConfigurationError
from lume_services.kubernetes.manifests import manifests, merged
from lume_services.services.scheduling.backends._elsewhere import refuse_embedded_stores

if TYPE_CHECKING:
    from lume_services.settings import LUMEServicesSettings

__all__ = ["render", "render_secrets"]

_SERVER: Final = "lume-prefect"
_SERVER_IN_CLUSTER: Final = {
    "LUME_PREFECT__SERVER__HOST": f"http://{_SERVER}",
    "LUME_PREFECT__SERVER__HOST_PORT": "4200",
}
_OF_OUR_IMAGE: Final = ("lume-worker", _SERVER)
_OF_THIS_MACHINE: Final = ("LUME_HOME", "LUME_ENV_FILE")
_OF_PREFECT: Final = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING")
_JOB: Final = "lume-job"
_JOB_FILE: Final = "job.yaml"
_JOB_FOLDER: Final = "/etc/lume-services"
_TEMPLATE: Final = f"{_JOB_FOLDER}/{_JOB_FILE}"
_WITH_TEMPLATE: Final = {
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "worker",
                        "args": ["lume-services", "worker", "start", "--job-template", _TEMPLATE],
                        "volumeMounts": [
                            {"name": "job", "mountPath": _JOB_FOLDER, "readOnly": True}
                        ],
                    }
                ],
                "volumes": [{"name": "job", "configMap": {"name": _JOB}}],
            }
        }
    }
}


def render(
    settings: LUMEServicesSettings,
    *,
    namespace: str = "default",
    server: bool = False,
    job_template: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Give what runs a worker in a cluster: account, role, settings, deployment; no secrets.

    Args:
        settings: The settings of the worker, as seen from inside the cluster.
        namespace: Where everything is to be, the jobs too.
        server: Whether Prefect's server, and its database, are to be there as well.
        job_template: Parts of a Job manifest, laid over that of every job.

    Raises:
        ConfigurationError: A store is a file of this machine, or Prefect's server is nowhere.
    """
    refuse_embedded_stores(settings.model_copy(update={"backend": "kubernetes"}))
    image = image_of_jobs(settings)
    variables = {**settings.to_environment(), "LUME_BACKEND": "kubernetes"}
    if server:
        variables |= _SERVER_IN_CLUSTER
    elif "LUME_PREFECT__SERVER__HOST" not in variables:
        if "PREFECT_API_URL" not in os.environ:
            raise ConfigurationError(
                "LUME_PREFECT__SERVER__HOST is not set: say where Prefect's server is, as seen "
                "from the cluster, or have it there, too, with --server."
            )
        variables["PREFECT_API_URL"] = os.environ["PREFECT_API_URL"]
    for name in _OF_THIS_MACHINE:
        variables.pop(name, None)
    made = manifests("worker.yaml")
    if server:
        made = [*manifests("server.yaml"), *made]
    if job_template:
        made = [_config_map(_JOB, {_JOB_FILE: yaml.safe_dump(dict(job_template))}), *made]
        made[-1] = merged(made[-1], _WITH_TEMPLATE)
    for manifest in made:
        manifest["metadata"]["namespace"] = namespace
        for subject in manifest.get("subjects", ()):
            subject["namespace"] = namespace
        if manifest["metadata"]["name"] == "lume-settings":
            manifest["data"] = variables
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] in _OF_OUR_IMAGE:
            manifest["spec"]["template"]["spec"]["containers"][0]["image"] = image
        if manifest["metadata"]["name"] == "lume-worker" and manifest["kind"] == "Deployment":
            # Settings are read at the start: others make another worker.
            digest = sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()
            pod = manifest["spec"]["template"]["metadata"]
            pod["annotations"] = {"lume-services/settings": digest[:12]}
        yield manifest


def render_secrets(
    settings: LUMEServicesSettings, *, namespace: str = "default", server: bool = False
) -> Iterator[dict[str, Any]]:
    """Give the Secrets that go with ``render``: each value in clear.

    Args:
        settings: As in ``render``.
        namespace: As in ``render``.
        server: As in ``render``. The password of its database is made anew each time; a cluster
            keeps the first and refuses to change it.
    """
    private = settings.secret_environment()
    private |= {name: os.environ[name] for name in _OF_PREFECT if name in os.environ}
    yield _secret("lume-secrets", namespace, private)
    if server:
        password = secrets.token_urlsafe(24)
        database = f"postgresql+asyncpg://prefect:{password}@{_SERVER}-database/prefect"
        values = {"password": password, "url": database}
        yield {**_secret(_SERVER, namespace, values), "immutable": True}


def _config_map(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _secret(name: str, namespace: str, values: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": values,
    }
