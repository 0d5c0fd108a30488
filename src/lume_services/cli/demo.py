"""``lume-services demo``: a real storage ring, from registration to a plot."""

from __future__ import annotations

__all__ = ["demo"]


def demo() -> None:
    """Scan a real storage-ring lattice: register, run, sweep, find the results again, plot.

    Example: `lume-services demo`
    """
    from lume_services.demo.scan import main

    main()
