"""The examples in docs/flows.md run, and say what they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lume_services.config import context
from lume_services.flows import _mapped

PAGE = Path(__file__).parents[2] / "docs" / "flows.md"


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {"__name__": "docs_flows"}
    for block in blocks:
        exec(compile(block, "docs/flows.md", "exec"), names)
    run = names["run"]
    assert run.result() == pytest.approx(1.5e-10)
    assert run.task_results()["read_charge"] == pytest.approx([1e-10, 2e-10])
    assert run.task_results()["mean"] == pytest.approx(1.5e-10)
    (stored,) = context.results_db_service().find("local", {})
    assert stored["outputs"]["charge"] == pytest.approx(2e-10)


def test_every_key_of_a_mapping_is_told() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in _mapped.DBMappedParameter.model_fields:
        assert f"| `{name}` |" in page
