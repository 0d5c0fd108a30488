"""Archives made by hand: those of packages, and those that no build tool makes."""

from __future__ import annotations

import gzip
import io
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PKG_INFO = """\
Metadata-Version: 2.1
Name: my-model
Version: 1.2.0
Requires-Python: >=3.9
Requires-Dist: numpy>=1.20
Requires-Dist: pytest; extra == "dev"

A model.
"""
ENTRY_POINTS = """\
[orchestration]
my_model.model = my_model.model:MyModel
my_model.flow = my_model.flow:flow
"""
FLOW = """\
from prefect import Flow, flow, task

@task
def twice(x: float) -> float:
    return 2 * x

@flow
def run(x: float = 1.0) -> float:
    return twice(x)

def describe(one: Flow) -> str:
    return one.name
"""
FILES = {
    "PKG-INFO": PKG_INFO,
    "pyproject.toml": """\
[project]
name = "my-model"
[project.entry-points.orchestration]
"my_model.model" = "my_model.model:MyModel"
"my_model.flow" = "my_model.flow:run"
""",
    "my_model/__init__.py": "raise RuntimeError('imported')\n",
    "my_model/model.py": "class MyModel:\n    pass\n",
    "my_model/flow.py": FLOW,
}
"""A proper sdist without its folder; nothing in it can be imported."""


def add(tar: tarfile.TarFile, name: str, data: bytes = b"x", **attributes: Any) -> None:
    """Add a member with whatever attributes."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    tar.addfile(member, io.BytesIO(data) if member.isreg() else None)


def sdist(
    folder: Path,
    files: Mapping[str, str | None] | None = None,
    *,
    name: str = "my_model-1.2.0.tar.gz",
) -> Path:
    """An sdist: the proper one with these files added, or taken away where they are None."""
    path = folder / name
    with tarfile.open(path, "w:gz") as tar:
        for file, text in {**FILES, **(files or {})}.items():
            if text is not None:
                add(tar, f"{name.removesuffix('.tar.gz')}/{file}", text.encode())
    return path


def wheel(folder: Path, files: Mapping[str, str | None] | None = None) -> Path:
    """A wheel, likewise."""
    path = folder / "my_model-1.2.0-py3-none-any.whl"
    info = "my_model-1.2.0.dist-info"
    proper = {
        **{file: text for file, text in FILES.items() if file.startswith("my_model/")},
        f"{info}/METADATA": PKG_INFO,
        f"{info}/entry_points.txt": ENTRY_POINTS,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in {**proper, **(files or {})}.items():
            if text is not None:
                archive.writestr(file, text)
    return path


def tar_of(*members: Any) -> bytes:
    """The bytes of an sdist with these members, each a name and attributes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
        for name, attributes in members:
            add(tar, name, **attributes)
    return packed.getvalue()


def zip_of(*members: Any) -> bytes:
    """The bytes of a wheel with these members, each a name, content and attributes."""
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are in it twice
        for name, data, attributes in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, data)
    return packed.getvalue()


def raw_tar(*blocks: bytes, end: bytes = bytes(10240)) -> bytes:
    """An sdist of these blocks."""
    return gzip.compress(b"".join(blocks) + end)


def header(name: str, **attributes: Any) -> bytes:
    """One header of a tar, and nothing of its content."""
    member = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member.tobuf(tarfile.GNU_FORMAT)
