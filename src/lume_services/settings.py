"""The settings of all services in one object, read from ``LUME_*`` environment variables.

Names are made by rule: the prefix ``LUME_`` and the path of the field, joined by ``__``, in small
or capital letters. ``settings.model_db.port`` is ``LUME_MODEL_DB__PORT``. A value is looked for in

1. the arguments of ``LUMEServicesSettings(...)``,
2. the environment,
3. the file that ``LUME_ENV_FILE`` names (``NAME=value`` lines),
4. a file of that name in ``LUME_SECRETS_DIR`` (default ``/run/secrets``, where Docker puts them).

Nothing set at all is valid: SQLite and files under ``LUME_HOME``, and the local backend.
"""

from __future__ import annotations

import html
import warnings
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lume_services._variables import (
    DELIMITER,
    ENV_FILE,
    PREFIX,
    SECRETS_DIR,
    EnvironmentVariable,
    describe_errors,
    nearest,
    read,
    to_text,
    values_of,
    variables_of,
)
from lume_services.errors import ConfigurationError, LUMEServicesWarning
from lume_services.services.files.settings import FilesystemConfig, MountedFilesystemConfig
from lume_services.services.models.settings import ModelDBConfig
from lume_services.services.results.settings import ResultsDBConfig
from lume_services.services.scheduling.settings import PrefectConfig
from lume_services.services.settings import ExpandedPath, FolderOrURL, ServiceConfig

__all__ = ["EnvironmentConfig", "EnvironmentVariable", "LUMEServicesSettings", "get_env_vars"]


class EnvironmentConfig(ServiceConfig):
    """How the environments of packaged models are made."""

    local_pip_repository: FolderOrURL | None = Field(
        None, description="Folder, or URL of an index, of Python packages to install from."
    )
    local_conda_channel_directory: ExpandedPath | None = Field(
        None, description="Folder that is a conda channel."
    )
    tmp_directory: ExpandedPath | None = Field(
        None, description="Where packages are unpacked; in `LUME_HOME` when not given."
    )
    python_version: str | None = Field(
        None, pattern=r"^3\.\d+$", description="Python of the environments, `3.11`."
    )
    token: SecretStr | None = Field(
        None, description="Token by which packages are fetched from a private https address."
    )


class _Variables(PydanticBaseSettingsSource):
    """The variables of the environment, the env file and the secret files, as nested values."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # abstract in the base class; everything is in __call__

    def __call__(self) -> dict[str, Any]:
        values, unknown = read(self.settings_cls)
        for name in unknown:
            # Six levels up is who asked for the settings; between are pydantic-settings' own.
            _warn(f"{name} is not read by LUME-services{nearest(name, self.settings_cls)}", level=6)
        return values


class LUMEServicesSettings(BaseSettings):
    """Every setting of LUME-services.

    A part that is None means the embedded default: SQLite for ``model_db`` and ``results_db``, no
    mounted filesystem, no Prefect server.

    Raises:
        ConfigurationError: A value is missing or wrong; the message names each variable.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        case_sensitive=False,
        validate_assignment=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    backend: str = Field(
        "local", description="Where flows run: `local`, `process`, `docker`, `kubernetes`."
    )
    home: ExpandedPath = Field(
        default_factory=lambda: platformdirs.user_data_path("lume-services"),
        description="Folder of the embedded databases, blobs and files.",
    )
    model_db: ModelDBConfig | None = Field(None, description="The model registry.")
    results_db: ResultsDBConfig | None = Field(None, description="The results database.")
    prefect: PrefectConfig | None = Field(None, description="The Prefect server.")
    mounted_filesystem: MountedFilesystemConfig | None = Field(
        None, description="A folder that jobs see under another path."
    )
    filesystems: dict[str, FilesystemConfig] = Field(
        default_factory=dict, description="Further filesystems, by identifier."
    )
    environment: EnvironmentConfig | None = Field(
        None, description="The environments of packaged models."
    )
    job: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="The value of `LUME_<variable>` as jobs see it, where it differs from here.",
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            problem = describe_errors(error, type(self))
        else:
            self._warn_of_what_is_ignored()
            return
        # Raised here, where the pydantic error with its inputs is no longer being handled.
        raise ConfigurationError(problem)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read our own source in place of the three of pydantic-settings.

        Theirs take a mistyped name for a value of the nearest model and refuse it with its value.
        """
        return init_settings, _Variables(settings_cls)

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
            return
        except ValidationError as error:
            problem = describe_errors(error, type(self))
        raise ConfigurationError(problem)

    @field_validator("home", mode="after")
    @classmethod
    def _from_here(cls, home: Path) -> Path:
        # The databases in it must not move when the process changes its working folder.
        return home.absolute()

    @field_validator("filesystems", mode="after")
    @classmethod
    def _lower_case(cls, filesystems: dict[str, FilesystemConfig]) -> dict[str, FilesystemConfig]:
        wrong = [name for name in filesystems if name != name.lower() or DELIMITER in name]
        if wrong:
            raise ValueError(f"identifiers are lower case and without {DELIMITER!r}: {wrong[0]!r}")
        return filesystems

    @field_validator("environment", mode="after")
    @classmethod
    def _none_when_empty(cls, environment: EnvironmentConfig | None) -> EnvironmentConfig | None:
        return environment if environment and environment.model_dump(exclude_none=True) else None

    @field_validator("job", mode="after")
    @classmethod
    def _capitals(cls, job: dict[str, SecretStr]) -> dict[str, SecretStr]:
        return {variable.upper(): value for variable, value in job.items()}

    @property
    def results_store(self) -> str:
        """Name of the results store that is selected: the URL's scheme, or ``sqlite``."""
        if self.results_db is None:
            return "sqlite"
        if self.results_db.url is None:
            return "mongodb"
        return self.results_db.url.partition("://")[0].partition("+")[0]

    @property
    def results_store_variable(self) -> str:
        """The variable that selects the results store, for messages."""
        by_host = self.results_db is not None and self.results_db.url is None
        return "LUME_RESULTS_DB__HOST: store" if by_host else "LUME_RESULTS_DB__URL"

    def to_environment(self, include_secrets: bool = False) -> dict[str, str]:
        """The variables that rebuild these settings.

        Args:
            include_secrets: Whether passwords and job values are among them. Only then are the
                settings that are parsed from the result equal to these.
        """
        environment = {}
        for name, value in values_of(self):
            if not isinstance(value, SecretStr):
                environment[name] = to_text(value)
            elif include_secrets:
                environment[name] = value.get_secret_value()
        return environment

    def secret_environment(self) -> dict[str, str]:
        """Those of the variables that rebuild these settings which hold secrets."""
        public = self.to_environment()
        return {
            name: text
            for name, text in self.to_environment(include_secrets=True).items()
            if name not in public
        }

    def masked(self) -> dict[str, str]:
        """The variables that rebuild these settings, each secret replaced by asterisks."""
        return {name: to_text(value) for name, value in values_of(self)}

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
            for name, value in self.masked().items()
        )
        return f"<table><thead><tr><th>Variable</th><th>Value</th></tr></thead>{rows}</table>"

    def _warn_of_what_is_ignored(self) -> None:
        if self.prefect is None:
            return
        for part in ("agent", "telemetry"):
            if part in self.prefect.model_fields_set:
                _warn(
                    f"LUME_PREFECT__{part.upper()}__… is ignored: Prefect 3 has no {part} setting"
                )
        if self.prefect.backend == "cloud":
            _warn(
                "LUME_PREFECT__BACKEND=cloud is ignored: "
                "set Prefect's own PREFECT_API_URL and PREFECT_API_KEY"
            )


def get_env_vars() -> list[EnvironmentVariable]:
    """Every environment variable that LUME-services reads, with type, default and meaning."""
    return [
        *variables_of(LUMEServicesSettings),
        EnvironmentVariable(ENV_FILE, "path", "", "A file of `NAME=value` lines to read as well."),
        EnvironmentVariable(
            SECRETS_DIR,
            "path",
            "/run/secrets",
            "Folder of files that are named like a variable and hold its value.",
        ),
    ]


def _warn(message: str, level: int = 4) -> None:
    warnings.warn(message, LUMEServicesWarning, stacklevel=level)
