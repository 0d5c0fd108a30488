"""Manifests as values: the Job that a run becomes, and laying one manifest over another."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

__all__ = ["job_template", "merged"]


def job_template() -> dict[str, Any]:
    """The manifest of the Job of a run, with Prefect's placeholders in it."""
    text = (files("lume_services.kubernetes") / "files" / "job.yaml").read_text("utf-8")
    manifest: dict[str, Any] = yaml.safe_load(text)
    return manifest


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
