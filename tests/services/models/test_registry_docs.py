from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Table

from lume_services.services.models.db import migrations
from lume_services.services.models.db.schema import METADATA

PAGE = Path(__file__).parents[3] / "docs" / "registry.md"


@pytest.mark.parametrize("table", METADATA.tables.values(), ids=lambda table: table.name)
def test_columns_are_documented(table: Table) -> None:
    section = PAGE.read_text().partition(f"**{table.name}**")[2].partition("\n**")[0]
    section = section.partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `(\w+)`.*?\| ([^|]+) \|", section, flags=re.MULTILINE))
    assert set(documented) == {column.name for column in table.columns}
    for column in table.columns:
        if length := getattr(column.type, "length", None):
            assert f"text, {length}" in documented[column.name], column
        assert ("null" in documented[column.name]) == column.nullable, column


def test_revisions_are_documented() -> None:
    revisions = re.findall(r"^\| (\d{4}) \|", PAGE.read_text(), flags=re.MULTILINE)
    assert tuple(revisions) == migrations.REVISIONS
