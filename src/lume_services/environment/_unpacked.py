"""The files of a package that was unpacked, and what is found wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

__all__ = ["Unpacked"]

# Far more than any description or module has, and read and parsed within a second.
_MAX_TEXT: Final = 1 << 20
_COMPILED: Final = (".py", ".pyx", ".pyd", ".so")


@dataclass
class Unpacked:
    """A folder with an unpacked package."""

    root: Path
    """The one folder of an sdist, or what a wheel was unpacked into."""
    is_wheel: bool
    problems: list[str] = field(default_factory=list)
    """What stands against the package, each with the remedy, in one line."""

    @cached_property
    def roots(self) -> list[Path]:
        """Folders that modules may be in: the top and, in an sdist, ``src`` and its neighbours."""
        if self.is_wheel:
            return [self.root]
        folders = sorted(path for path in self.root.iterdir() if path.is_dir())
        return [self.root, *sorted(folders, key=lambda folder: folder.name != "src")]

    def text(self, path: Path) -> str | None:
        """The text of a file; None, and perhaps one problem more, when there is none to be had."""
        if not path.is_file():
            return None
        name = path.relative_to(self.root).as_posix()
        with path.open("rb") as file:
            data = file.read(_MAX_TEXT + 1)
        if len(data) > _MAX_TEXT:
            self.problems.append(f"{name} is larger than {_MAX_TEXT >> 20} MiB: shorten it.")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.problems.append(f"{name} is not UTF-8 ({error}): save it as UTF-8.")
            return None

    def module(self, name: str) -> Path | None:
        """The file of a module, by its dotted name."""
        *folders, last = name.split(".")
        for root in self.roots:
            folder = root.joinpath(*folders)
            if (package := folder / last / "__init__.py").is_file():
                return package
            # Compiled ones have the interpreter in their name: model.cpython-311-darwin.so
            found = sorted(path for path in folder.glob(f"{last}.*") if path.suffix in _COMPILED)
            if found:
                return found[0]
        return None
