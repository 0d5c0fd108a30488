"""A storage ring from a lattice file to a plot, with every run recorded.

This is what ``lume-services demo`` runs. Read it from top to bottom: it is all a user needs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from lume_services.config import configure, context
from lume_services.demo.picture import draw
from lume_services.demo.storage_ring import StorageRing
from lume_services.files import ImageFile
from lume_services.models import Model, grid

DESCRIPTION = "ESRF-EBS storage ring cell"


def main() -> None:
    """Register the ring, run it, scan two quadrupole families, read the results back, plot."""
    say = partial(Console(highlight=False).print, soft_wrap=True)

    # Where things are kept comes from LUME_* variables; with none set, a folder of yours.
    configure()

    say("\n[bold]1. Register[/bold] the ESRF-EBS lattice as a model")
    model = Model.create_model(description=DESCRIPTION, laboratory="ESRF", facility="EBS")
    model.register(StorageRing, version="1.0.0", project_name="demo")
    say(f"   {model.description}, version {model.deployment.version}: inputs QF1 … QF8")

    say("\n[bold]2. Run[/bold] the nominal lattice")
    nominal = model.evaluate()
    tunes = nominal.outputs["tune_x"], nominal.outputs["tune_y"]
    say(f"   tunes of the cell {tunes[0]:.4f} / {tunes[1]:.4f}, recorded as {nominal.id}")

    say("\n[bold]3. Sweep[/bold] QF1 by 3 % and QD2 by 2 %: 35 points on 2 processes,")
    say("   except what is recorded already, such as the nominal point")
    scale = np.linspace(0.97, 1.03, 7)
    points = grid(
        QF1=nominal.inputs["QF1"] * scale,
        QD2=nominal.inputs["QD2"] * scale[1:-1],
    )
    model.sweep(points, max_workers=2)

    say("\n[bold]4. Find[/bold] the results again, here from a second process:")
    command = ["results", "list", DESCRIPTION, "--limit", "8"]
    subprocess.run([sys.executable, "-m", "lume_services", *command], check=True)

    say("\n[bold]5. Plot[/bold] what is in the database")
    scan = model.get_results_df({"status": "success", "inputs.QF4": nominal.inputs["QF4"]})
    picture = draw(scan, nominal, StorageRing().magnets())
    file = ImageFile(filename="demo/storage_ring.png", obj=picture)
    file.write()

    home = context.settings.home
    say(f"   {home}/files/{file.filename}")
    program = shutil.which("lume-services") or f"{Path(sys.executable).parent}/lume-services"
    say(f"\nEverything is in {home}. Try next:")
    for arguments in (
        f'models show "{DESCRIPTION}"',
        f"results show {nominal.id}",
        f'sweep "{DESCRIPTION}" --grid QF4=2.40:2.46:7',
        f'results export "{DESCRIPTION}" ring.csv',
    ):
        say(f"   {_from_here(program)} {arguments}")


def _from_here(path: str) -> str:
    """A command as it is typed in the working folder."""
    if shutil.which(Path(path).name) == path:
        return Path(path).name
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


if __name__ == "__main__":
    main()
