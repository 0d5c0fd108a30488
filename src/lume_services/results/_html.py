"""Results in notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from lume_services.results._lazy import summaries

if TYPE_CHECKING:
    from lume_services.results.generic import Result

__all__ = ["to_html"]

_MOST_ROWS = 50


def to_html(result: Result) -> str:
    """A result as a small table; values that are not loaded yet stay so."""
    head = f"<b>{escape(type(result).__name__)}</b> {_status(result)}"
    about = [result.project_name, result.version, f"{result.date_modified:%Y-%m-%d %H:%M:%S} UTC"]
    lines = [head + " " + escape(" · ".join(filter(None, about)))]
    if result.error is not None:
        message = f"{result.error['type']}: {result.error['message']}"
        lines.append(f"<pre style='margin:0'>{escape(message[:1000])}</pre>")
    rows = [*_rows("inputs", result.inputs), *_rows("outputs", result.outputs)]
    lines.append(f"<table><tbody>{''.join(rows)}</tbody></table>")
    lines.append(f"<small>{escape(result.id or 'not stored')}</small>")
    return "<div>" + "<br>".join(lines[:-2]) + "".join(lines[-2:]) + "</div>"


def _status(result: Result) -> str:
    colour = "#1a7f37" if result.status == "success" else "#cf222e"
    return f"<span style='color:{colour}'>{escape(result.status)}</span>"


def _rows(part: str, values: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, text in summaries(values, _MOST_ROWS):
        rows.append(_row(part, escape(name), escape(text)))
        part = ""
    if len(values) > _MOST_ROWS:
        rows.append(_row("", f"<i>{len(values) - _MOST_ROWS} more</i>", ""))
    return rows


def _row(part: str, name: str, text: str) -> str:
    style = "style='text-align:left'"
    return f"<tr><th {style}>{part}</th><td {style}>{name}</td><td {style}>{text}</td></tr>"
