"""The command line, ``lume-services``: one module for each noun.

Modules here import the rest of the package inside their functions, so that ``--help`` and
completion answer at once.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from lume_services.cli._app import app
from lume_services.cli._output import error_line, exit_code, notes_of, warning_line
from lume_services.errors import LUMEServicesError, LUMEServicesWarning

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; errors of this package become one message and an exit code.

    Exit codes: 0 all went well, 1 the work failed (a model raised, a database is away), 2 the
    user asked for something that cannot be (an unknown name, a wrong value).
    """
    show = warnings.showwarning

    def brief(message: Warning | str, category: type[Warning], *rest: object) -> None:
        if issubclass(category, LUMEServicesWarning):
            warning_line(str(message))
        else:
            show(message, category, *rest)  # type: ignore[arg-type]  # passed on as it came

    # Models that were registered from a module in this folder are found from here too.
    sys.path.append(str(Path.cwd()))
    warnings.showwarning = brief  # type: ignore[assignment]  # the same arguments, fewer named
    try:
        app(prog_name="lume-services")
    except LUMEServicesError as error:
        error_line("\n".join([str(error), *notes_of(error)]))
        sys.exit(exit_code(error))
