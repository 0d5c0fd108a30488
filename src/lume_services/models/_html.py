"""Models in notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from lume_services.errors import DeploymentNotFoundError
from lume_services.variables import describe

if TYPE_CHECKING:
    from lume_services.models.model import Model

__all__ = ["to_html"]

_HEADINGS = ("Variable", "", "Default", "Range", "Unit", "Meaning")


def to_html(model: Model) -> str:
    """A model with the version in use and a table of its variables."""
    identity = " · ".join(
        escape(text)
        for text in (model.author, model.laboratory, model.facility, model.beampath)
        if text
    )
    head = f"<b>{escape(model.description)}</b> {identity} (model {model.model_id})"
    try:
        deployment = model.deployment
    except DeploymentNotFoundError:
        return f"<div>{head}: nothing registered yet</div>"
    live = ", live" if deployment.is_live else ""
    headings = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in describe(name, variable))}</tr>"
        for name, variable in model.variables.items()
    )
    return (
        f"<div>{head}<br>version {escape(deployment.version)}{live}<table><thead><tr>{headings}"
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
