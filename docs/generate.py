"""Write the parts of the documentation that are made from the code; a test keeps them current.

python docs/generate.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
BEGIN = "<!-- variables: made from the code by `python docs/generate.py` -->\n"
END = "<!-- end of variables -->\n"


def variables_table() -> str:
    """Every environment variable as a Markdown table."""
    from lume_services.config import get_env_vars

    rows = [
        (
            f"`{entry.name}`",
            entry.type,
            f"`{entry.default}`" if entry.default else "",
            entry.meaning,
        )
        for entry in get_env_vars()
    ]
    lines = ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """The page on configuration with a current table."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{variables_table()}\n{END}{after}"


def command_page() -> str:
    """The reference of the command line, by Typer."""
    command = [sys.executable, "-m", "typer", "lume_services.cli._app", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "lume-services"], check=True, capture_output=True, text=True
    )
    return done.stdout


def reference_page() -> str:
    """One entry for each public module; mkdocstrings fills in what the docstrings say."""
    parts = ["# Python reference\n"]
    for module in PUBLIC:
        parts.append(f"## {module}\n\n::: {module}\n    options:\n      heading_level: 3\n")
    return "\n".join(parts)


PUBLIC = (
    "lume_services.config",
    "lume_services.models",
    "lume_services.results",
    "lume_services.results.legacy",
    "lume_services.files",
    "lume_services.flows",
    "lume_services.tasks",
    "lume_services.services.results",
    "lume_services.services.models",
    "lume_services.services.files",
    "lume_services.services.scheduling",
    "lume_services.docker",
    "lume_services.testing",
    "lume_services.errors",
)

PAGES = {
    "configuration.md": configuration_page,
    "commands.md": command_page,
    "reference.md": reference_page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
