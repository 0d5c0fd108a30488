"""The demo, as a new user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lume_services.config import configure
from lume_services.models import Model


@pytest.mark.slow
def test_the_demo_scans_a_real_ring_and_leaves_everything_behind(lume_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lume_services", "demo"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "tunes of the cell 0.3816 / 0.8544" in done.stdout

    configure()
    model = Model.find("ESRF-EBS storage ring cell")
    table = model.get_results_df()
    assert len(table) == 35  # the nominal point is one of the scan
    assert set(table["status"]) == {"success"}
    # A stronger focusing quadrupole raises the horizontal tune.
    line = table[table["inputs.QD2"] == table["inputs.QD2"].median()].sort_values("inputs.QF1")
    assert line["outputs.tune_x"].is_monotonic_increasing
    assert line["outputs.beta_x"].iloc[0].shape == line["outputs.s"].iloc[0].shape
    assert line["outputs.s"].iloc[0][-1] == pytest.approx(26.374, abs=1e-3)  # 843.977 m / 32
    with Image.open(lume_home / "files" / "demo" / "storage_ring.png") as picture:
        assert picture.width > 1000
