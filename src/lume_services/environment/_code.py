"""What the modules of a package say, from their source; none of them is imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lume_services.environment._unpacked import Unpacked

__all__ = ["is_prefect1", "read_image"]

_IMAGE_NAME: Final = re.compile(r"[A-Za-z0-9][\w./:@-]*")
# What Prefect 1 has and Prefect 3 has not. Both have Flow, Task, engine, tasks and schedules.
_PREFECT1: Final = (
    "prefect.Client",
    "prefect.Parameter",
    "prefect.apply_map",
    "prefect.case",
    "prefect.core",
    "prefect.engine.result",
    "prefect.engine.results",
    "prefect.engine.serializers",
    "prefect.engine.signals",
    "prefect.engine.state",
    "prefect.environments",
    "prefect.executors",
    "prefect.resource_manager",
    "prefect.run_configs",
    "prefect.schedules.CronSchedule",
    "prefect.schedules.IntervalSchedule",
    "prefect.schedules.clocks",
    "prefect.schedules.filters",
    "prefect.storage",
    "prefect.tasks.control_flow",
    "prefect.tasks.core",
    "prefect.tasks.prefect",
    "prefect.triggers",
    "prefect.utilities.notifications",
)
_IMPORT_ERRORS: Final = ("ImportError", "ModuleNotFoundError", "Exception")
_HOPS: Final = 5


def read_image(package: Unpacked, import_name: str, version: str) -> str | None:
    """``IMAGE`` of the module ``_image``; ``__version__`` in it is the version of the package."""
    path = package.module(f"{import_name}._image")
    if path is None:
        return None
    tree = _tree(package, path)
    name = path.relative_to(package.root).as_posix()
    if tree is None:
        package.problems.append(f"{name} cannot be read as Python: put it right.")
        return None
    image: str | None = None
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "IMAGE" for target in targets):
            image = _text(getattr(node, "value", None), version)
            if image is None or not _IMAGE_NAME.fullmatch(image):
                what = "is computed" if image is None else f"is {image!r}, which is no image's name"
                package.problems.append(
                    f"IMAGE in {name} {what}: write it as a plain text, IMAGE = "
                    "'registry.example/group/model:1.0'."
                )
                return None
    return image


def is_prefect1(package: Unpacked, flow: str, hops: int = _HOPS) -> bool:
    """Whether a flow is certainly written for Prefect 1.

    Args:
        package: Where its module is.
        flow: Itself, or a function that gives it, as ``module:name``.
        hops: How often an import of the name is followed within the package.
    """
    module, _, name = flow.partition(":")
    path = package.module(module)
    tree = _tree(package, path)
    if path is None or tree is None:
        return False
    if _has_signs(tree):
        return True
    inside = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in tree.body if hops else ():
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                above = inside.split(".")[: len(inside.split(".")) - node.level + 1]
                origin = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
                if origin and is_prefect1(package, f"{origin}:{alias.name}", hops - 1):
                    return True
    return False


def _tree(package: Unpacked, path: Path | None) -> ast.Module | None:
    text = package.text(path) if path is not None and path.suffix == ".py" else None
    if text is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    # It may be for another Python than this one, so that it is no problem by itself.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _text(value: ast.expr | None, version: str) -> str | None:
    """A literal text, also an f-string that needs nothing but ``__version__``."""
    parts = value.values if isinstance(value, ast.JoinedStr) else [value]
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text += part.value
        elif isinstance(part, ast.FormattedValue) and _is_named(part.value, "__version__"):
            text += version
        else:
            return None
    return text


def _has_signs(tree: ast.Module) -> bool:
    nodes = list(_certain(tree))
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
                if _is_prefect1(alias.name):
                    return True
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if _is_prefect1(f"{node.module}.{alias.name}"):
                    return True
    return any(_is_sign(node, names) for node in nodes)


def _is_sign(node: ast.AST, names: dict[str, str]) -> bool:
    if isinstance(node, ast.With):
        # A Flow of Prefect 3 is no context manager.
        calls = [one.context_expr for one in node.items if isinstance(one.context_expr, ast.Call)]
        return any(_dotted(call.func, names) == "prefect.Flow" for call in calls)
    if isinstance(node, ast.Call) and _dotted(node.func, names) == "prefect.Flow":
        # The first argument of Prefect 3 is the function.
        return bool(node.args) and isinstance(node.args[0], ast.Constant)
    return isinstance(node, ast.Attribute) and _is_prefect1(_dotted(node, names))


def _is_prefect1(dotted: str) -> bool:
    return any(dotted == name or dotted.startswith(f"{name}.") for name in _PREFECT1)


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([names.get(node.id, ""), *parts]) if isinstance(node, ast.Name) else ""


def _certain(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node but those for another Prefect: imports that are tried, and for annotations."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.Try) and any(_is_tried(one) for one in node.handlers):
            waiting += [*node.orelse, *node.finalbody]
        elif isinstance(node, ast.If) and _is_named(node.test, "TYPE_CHECKING"):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _is_tried(handler: ast.ExceptHandler) -> bool:
    caught = ast.walk(handler.type) if handler.type else [ast.Name("Exception")]
    return any(_is_named(node, name) for node in caught for name in _IMPORT_ERRORS)


def _is_named(node: ast.AST, name: str) -> bool:
    return name in (getattr(node, "id", None), getattr(node, "attr", None))
