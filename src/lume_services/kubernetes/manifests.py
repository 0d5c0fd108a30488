"""Manifests as values: the Job that a run becomes, and laying one manifest over another."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from lume_services.errors import ConfigurationError

__all__ = ["job_template", "manifests", "merged", "read_job_template"]


def manifests(file: str) -> list[dict[str, Any]]:
    """The manifests in a file of this package."""
    text = (files("lume_services.kubernetes") / "files" / file).read_text("utf-8")
    return list(yaml.safe_load_all(text))


def job_template() -> dict[str, Any]:
    """The manifest of the Job of a run, with Prefect's placeholders in it."""
    return manifests("job.yaml")[0]


def read_job_template(file: Path) -> dict[str, Any]:
    """Read parts of a Job manifest (YAML).

    Raises:
        ConfigurationError: The file cannot be read, or holds no mapping.
    """
    try:
        parts = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"The job template {file} cannot be read: {error}") from None
    if not isinstance(parts, dict):
        raise ConfigurationError(f"The job template {file} is no mapping with parts of a Job.")
    return parts


def merged(manifest: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay parts of a manifest over a whole one, as ``kubectl patch`` does.

    Mappings are merged. Lists whose items have names (containers, volumes, variables) are merged
    by name; any other list, and whatever is no list or mapping, is replaced. None takes away.

    Args:
        manifest: The whole one, which is left as it is.
        over: The parts.
    """
    result = dict(manifest)
    for key, value in over.items():
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(old, Mapping):
            result[key] = merged(old, value)
        elif isinstance(old, list) and _has_names(value) and _has_names(old):
            by_name = {item["name"]: item for item in old}
            for item in value:
                by_name[item["name"]] = merged(by_name.get(item["name"], {}), item)
            result[key] = list(by_name.values())
        else:
            result[key] = value
    return result


def _has_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and "name" in item for item in value)
    )
