"""How a run is to be carried out, by the backend that it is for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lume_services.errors import InvalidInputError

__all__ = ["DockerRunConfig", "KubernetesRunConfig", "ProcessRunConfig", "RunConfig"]


class RunConfig(BaseModel):
    """Base of what backends take; checked when it is made.

    Raises:
        InvalidInputError: A value is unknown or cannot be right; the message names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: dict[str, str] = Field(
        default_factory=dict,
        description="Further environment variables of the run. They are kept by the Prefect "
        "server, so they may hold no secrets.",
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidInputError(
                f"{type(self).__name__}: {where}={first['input']!r:.80}: {first['msg']}"
            ) from None

    def job_variables(self) -> dict[str, Any]:
        """What Prefect's work pool is given."""
        return self.model_dump(exclude_none=True, exclude_defaults=True, mode="json")


class ProcessRunConfig(RunConfig):
    """A run as a process of a worker's machine."""

    working_dir: Path | None = Field(
        None, description="Folder in which it runs; an empty one, deleted afterwards, when None."
    )


class DockerRunConfig(RunConfig):
    """A run in a container."""

    image: str | None = Field(
        None, description="Image; ``LUME_PREFECT__DEFAULT_IMAGE`` of the worker when None."
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] | None = Field(
        None, description="Whether the image is fetched from its registry."
    )
    networks: list[str] = Field(default_factory=list, description="Networks that it is part of.")
    network_mode: str | None = Field(None, description="``host``, ``bridge``, ``none``.")
    volumes: list[Annotated[str, AfterValidator(lambda value: _volume(value))]] = Field(
        default_factory=list, description="Folders, ``/on/the/host:/in/the/container[:ro]``."
    )
    ports: dict[str, int] = Field(
        default_factory=dict,
        description="Port of the container, ``8080/tcp``, to that of the host.",
    )
    mem_limit: Annotated[str, AfterValidator(lambda value: _docker_memory(value))] | None = Field(
        None, description="Memory that it may use: ``512m``, ``4g``."
    )
    host_config: dict[str, Any] = Field(
        default_factory=dict,
        description="Further arguments of docker-py's ``create_container``.",
    )

    def job_variables(self) -> dict[str, Any]:
        """What Prefect's work pool is given."""
        variables = super().job_variables()
        host = dict(variables.pop("host_config", {}))
        if ports := variables.pop("ports", None):
            host["ports"] = ports
        if host:
            variables["container_create_kwargs"] = host
        return variables


class KubernetesRunConfig(RunConfig):
    """A run as a Kubernetes Job."""

    image: str | None = Field(
        None, description="Image; ``LUME_PREFECT__DEFAULT_IMAGE`` of the worker when None."
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] | None = Field(
        None, description="Whether the image is fetched from its registry."
    )
    image_pull_secrets: list[str] = Field(
        default_factory=list, description="Names of Secrets that fetch the image."
    )
    namespace: str | None = Field(None, description="Namespace of the Job; the worker's when None.")
    service_account_name: str | None = Field(None, description="Account that the pod runs as.")
    cpu_request: Annotated[str, AfterValidator(lambda value: _quantity(value))] | None = Field(
        None, description="Cores that are set aside for it: ``500m``, ``2``."
    )
    cpu_limit: Annotated[str, AfterValidator(lambda value: _quantity(value))] | None = Field(
        None, description="Cores that it may use."
    )
    memory_request: Annotated[str, AfterValidator(lambda value: _quantity(value))] | None = Field(
        None, description="Memory that is set aside for it: ``512Mi``, ``4G``."
    )
    memory_limit: Annotated[str, AfterValidator(lambda value: _quantity(value))] | None = Field(
        None, description="Memory that it may use."
    )
    job_template: dict[str, Any] = Field(
        default_factory=dict,
        description="Parts of a Job manifest, laid over the one that is made.",
    )

    def job_variables(self) -> dict[str, Any]:
        """What Prefect's work pool is given."""
        variables = super().job_variables()
        if names := variables.get("image_pull_secrets"):
            variables["image_pull_secrets"] = [{"name": name} for name in names]
        return variables


def _quantity(value: str) -> str:
    # https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    if not re.fullmatch(r"\d+(\.\d*)?([KMGTPE]i|[mkMGTPE]|[eE][+-]?\d+)?", value):
        raise ValueError("a quantity as Kubernetes writes them is meant: 500m, 2, 512Mi, 4G")
    return value


def _docker_memory(value: str) -> str:
    if not re.fullmatch(r"\d+[bkmgBKMG]?", value):
        raise ValueError("a size as Docker writes them is meant: 512m, 4g")
    return value


def _volume(value: str) -> str:
    if not re.fullmatch(r"[^:]+:/[^:]*(:(ro|rw|z|Z|ro,[zZ]))?", value):
        raise ValueError("write /folder/on/the/host:/folder/in/the/container, and :ro behind it")
    return value
