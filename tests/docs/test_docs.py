"""The documentation is current: generated parts, every command, and a tutorial that runs."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from lume_services.cli import app
from lume_services.config import get_env_vars

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["configuration.md", "commands.md", "reference.md"])
def test_what_is_made_from_the_code_is_current(generate: Any, page: str) -> None:
    current = (DOCS / page).read_text(encoding="utf-8")
    assert current == generate.PAGES[page](), "run: python docs/generate.py"


def commands() -> list[str]:
    found = []

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for part, inner in command.commands.items():
                walk(inner, f"{name} {part}")
        else:
            found.append(name)

    walk(typer.main.get_command(app), "lume-services")
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented_with_an_example(command: str) -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    parts = re.split(r"^#+ ", text, flags=re.M)
    heading = next(part for part in parts if part.startswith(f"`{command}`"))
    assert f"Example: `{command}" in heading


def test_every_variable_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert not [entry.name for entry in get_env_vars() if f"`{entry.name}`" not in text]


@pytest.mark.parametrize("page", ["tutorial.md"])
def test_the_examples_of_a_page_run_one_after_the_other(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, page, "exec"), {"__name__": "__main__"})


def test_what_a_refusal_prints_is_what_the_tutorial_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    test_the_examples_of_a_page_run_one_after_the_other("tutorial.md")
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    (promised,) = re.findall(r"^```text\n(.*?)^```$", text, flags=re.M | re.S)
    assert promised in capsys.readouterr().out
