"""The picture of the demo: tunes over quadrupole strength, beta functions along the cell."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lume_services.results import Result

__all__ = ["draw"]

_BLUE, _RED, _GREEN = "#1f5fa8", "#b8352b", "#3b7d3f"

Magnets = list[tuple[str, float, float]]
"""Kind, start and length in m, along the cell."""


def draw(scan: pd.DataFrame, nominal: Result, magnets: Magnets) -> Image.Image:
    """Draw the scan and the optics of the nominal point.

    Args:
        scan: Results of the scan, with columns ``inputs.QF1``, ``inputs.QD2``, ``outputs.tune_x``
            and ``outputs.tune_y``.
        nominal: The result whose beta functions are drawn.
        magnets: What stands along the cell.
    """
    figure = Figure(figsize=(12, 4.6), dpi=120, layout="constrained")
    left, right = np.ravel(np.asarray(figure.subfigures(1, 2, width_ratios=(2, 3))))
    above, below = left.subplots(2, 1, sharex=True)
    _tune(above, scan, "y", _RED)
    _tune(below, scan, "x", _BLUE)
    above.set_title(f"Tunes of the cell, {len(scan)} recorded runs", loc="left", fontsize=11)
    below.set_xlabel("QF1 strength $K_1$ (1/m²)")
    _optics(right.subplots(), nominal, magnets)
    png = BytesIO()
    figure.savefig(png, format="png")
    return Image.open(png).convert("RGB")


def _tune(axes: Axes, scan: pd.DataFrame, plane: str, color: str) -> None:
    """One tune over QF1, a line for each QD2; the middle one is drawn strongly."""
    strengths = sorted(scan["inputs.QD2"].unique())
    middle = strengths[len(strengths) // 2]
    labelled = {strengths[0], middle, strengths[-1]}
    for qd2 in strengths:
        line = scan[scan["inputs.QD2"] == qd2].sort_values("inputs.QF1")
        axes.plot(
            line["inputs.QF1"],
            line[f"outputs.tune_{plane}"],
            "o-",
            color=color,
            alpha=1.0 if qd2 == middle else 0.3,
            markersize=3.5,
            linewidth=1.4,
        )
        if qd2 in labelled and plane == "y":
            end = (line["inputs.QF1"].iloc[-1], line[f"outputs.tune_{plane}"].iloc[-1])
            axes.annotate(
                f"QD2 {qd2:.3f}",
                end,
                xytext=(6, 0),
                textcoords="offset points",
                fontsize=7.5,
                va="center",
                color=color,
            )
    axes.set_xlim(right=scan["inputs.QF1"].max() + 0.25 * np.ptp(scan["inputs.QF1"]))
    axes.set_ylabel(f"$\\nu_{plane}$ (fractional)")
    axes.grid(alpha=0.25)


def _optics(axes: Axes, nominal: Result, magnets: Magnets) -> None:
    s = nominal.outputs["s"]
    axes.plot(s, nominal.outputs["beta_x"], color=_BLUE, label=r"$\beta_x$")
    axes.plot(s, nominal.outputs["beta_y"], color=_RED, label=r"$\beta_y$")
    dispersion = axes.twinx()
    dispersion.plot(
        s, 100 * nominal.outputs["dispersion_x"], color=_GREEN, linestyle="--", label=r"$\eta_x$"
    )
    dispersion.set_ylabel("dispersion (cm)", color=_GREEN)
    top = float(max(nominal.outputs["beta_x"].max(), nominal.outputs["beta_y"].max()))
    axes.set_ylim(-0.16 * top, 1.05 * top)
    high = 100 * float(nominal.outputs["dispersion_x"].max())
    dispersion.set_ylim(-0.16 / 1.05 * 1.4 * high, 1.4 * high)  # its zero at that of beta
    for scale in (axes, dispersion):
        scale.yaxis.set_major_locator(MaxNLocator(prune="lower", nbins=8))
    _synoptic(axes, magnets, -0.08 * top, 0.05 * top)
    axes.set_xlim(s[0], s[-1])
    axes.set_xlabel("s (m)")
    axes.set_ylabel("beta functions (m)")
    tunes = nominal.outputs["tune_x"], nominal.outputs["tune_y"]
    axes.set_title(
        f"Optics at the nominal tunes {tunes[0]:.4f} / {tunes[1]:.4f}", loc="left", fontsize=11
    )
    handles = axes.get_lines()[:2] + dispersion.get_lines()
    axes.legend(handles=handles, loc="upper center", ncols=3, frameon=False)
    axes.grid(alpha=0.25)


def _synoptic(axes: Axes, magnets: Magnets, middle: float, height: float) -> None:
    """The magnets as boxes on the beam line: focusing up, defocusing down, dipoles both ways."""
    axes.axhline(middle, color="0.3", linewidth=0.8, zorder=1)
    extents = {
        "focusing": (0.0, height, _BLUE),
        "defocusing": (-height, height, _RED),
        "dipole": (-height / 2, height, "0.55"),
        "sextupole": (-height / 2, height, _GREEN),
    }
    for kind, start, length in magnets:
        below, tall, color = extents[kind]
        axes.bar(
            start,
            tall,
            width=length,
            bottom=middle + below,
            align="edge",
            color=color,
            linewidth=0,
            zorder=2,
        )
