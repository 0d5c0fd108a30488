"""Where flows are imported from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from lume_services.errors import FlowError

if TYPE_CHECKING:
    import prefect

__all__ = ["entry_point_of"]


def entry_point_of(flow: prefect.Flow[..., Any]) -> str:
    """Where a job imports a flow from, ``module:name``.

    Raises:
        FlowError: It is not at the top of a module.
    """
    module = sys.modules.get(flow.fn.__module__)
    if flow.fn.__module__ != "__main__":
        for name, value in vars(module).items() if module is not None else ():
            if value is flow:
                return f"{flow.fn.__module__}:{name}"
    raise FlowError(
        f"The flow {flow.name!r} is not at the top of a module, so that no job could import it. "
        "Put it into a module that is installed where jobs run, or use LUME_BACKEND=local."
    )
