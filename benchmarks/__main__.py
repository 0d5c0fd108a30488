"""``make bench``: run every benchmark and print the ratios."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import packages, scheduling, servers
from benchmarks.measure import Row, import_time, process_time, side_by_side
from benchmarks.models import five_milliseconds, trivial
from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.models import Model, grid
from lume_services.results import Result

INPUTS = {f"x{number}": number * 1.1 for number in range(20)}
OUTPUTS = {f"y{number}": number * 1.1 for number in range(10)}


def bare_database(path: Path) -> sqlite3.Connection:
    """SQLite with the same durability: WAL, and every commit waits for the disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE results (id TEXT PRIMARY KEY, document TEXT)")
    return connection


def recorded_evaluate(folder: Path) -> Iterator[Row]:
    model = Model.create_model(description="trivial")
    model.register(trivial, version="1.0")
    connection = bare_database(folder / "bare.db")
    counter = itertools.count()

    def ours() -> None:
        model.evaluate({**INPUTS, "x0": float(next(counter))})

    def floor() -> None:
        number = next(counter)
        document = {"inputs": {**INPUTS, "x0": float(number)}, "outputs": OUTPUTS}
        connection.execute("BEGIN IMMEDIATE")
        row = (str(number), json.dumps(document))
        connection.execute("INSERT INTO results VALUES (?, ?)", row)
        connection.execute("COMMIT")

    ours()
    yield Row(
        "recorded evaluate, 20 floats in, 10 out",
        *_with_floor(side_by_side(ours, floor, 1000), "SQLite insert with commit"),
        3.0,
        "aim 2",
    )


def large_array(folder: Path) -> Iterator[Row]:
    rng = np.random.default_rng(1)
    results: list[str] = []
    arrays = [rng.random(512 * 1024) for _ in range(40)]
    files = [folder / f"{number}.npy" for number in range(len(arrays))]
    digests: list[bytes] = []
    to_store, to_save = iter(arrays), iter(zip(files, arrays, strict=True))

    def store() -> None:
        result = Result(flow_id="array", inputs={}, outputs={"image": next(to_store)})
        result.insert()
        results.append(result.unique_hash)

    def save() -> None:
        file, array = next(to_save)
        with file.open("wb") as stream:
            np.save(stream, array)
            stream.flush()
            os.fsync(stream.fileno())

    yield Row(
        "store a 4 MB array", *_with_floor(side_by_side(store, save, 40), "np.save, fsync"), 2.0
    )
    digests += [sha256(array).digest() for array in arrays]
    to_load, to_read = iter(results), iter(zip(files, digests, strict=True))

    def load() -> None:
        found = Result.load_from_query({"unique_hash": next(to_load)})
        assert found.outputs["image"].shape == (512 * 1024,)

    def read() -> None:
        file, digest = next(to_read)
        assert sha256(np.load(file)).digest() == digest

    yield Row(
        "load a 4 MB array", *_with_floor(side_by_side(load, read, 40), "np.load, sha256"), 2.0
    )


def frame(folder: Path) -> Iterator[Row]:
    model = Model.create_model(description="frame")
    model.register(trivial, version="1.0")
    points = [{**INPUTS, "x0": float(number)} for number in range(10_000)]
    model.sweep(points, max_workers=0)
    connection = bare_database(folder / "frame.db")
    connection.execute("BEGIN")
    for number, point in enumerate(points):
        document = {
            "inputs": point,
            "outputs": trivial(point),
            "date_modified": time.time(),
            "flow_id": model.flow.flow_id,
            "version": "1.0",
            "status": "success",
        }
        row = (str(number), json.dumps(document))
        connection.execute("INSERT INTO results VALUES (?, ?)", row)
    connection.execute("COMMIT")

    def floor() -> pd.DataFrame:
        rows = []
        for (text,) in connection.execute("SELECT document FROM results"):
            document = json.loads(text)
            row = {f"inputs.{name}": value for name, value in document.pop("inputs").items()}
            row |= {f"outputs.{name}": value for name, value in document.pop("outputs").items()}
            rows.append(row | document)
        return pd.DataFrame(rows)

    assert len(model.get_results_df()) == len(floor()) == 10_000
    times = side_by_side(model.get_results_df, floor, 5)
    yield Row(
        "10,000 results into a DataFrame", *_with_floor(times, "sqlite3, json, DataFrame"), 2.0
    )


def growth(folder: Path) -> Iterator[Row]:
    """Finding and inserting with 100,000 results stored against 1,000."""
    stores = {count: _filled(folder / f"{count}", count) for count in (1_000, 100_000)}
    many, few = (stores[count] for count in (100_000, 1_000))
    counters = {id(store): itertools.count(1_000_000) for store in stores.values()}

    def insert(store: Any) -> Callable[[], object]:
        return lambda: store.insert_one("local", _document(next(counters[id(store)])))

    def by_hash(store: Any) -> Callable[[], object]:
        return lambda: list(store.find("local", {"unique_hash": "hash-500"}))

    def by_flow(store: Any) -> Callable[[], object]:
        return lambda: list(store.find("local", {"flow_id": "flow-1"}, limit=10))

    for what, make, repeats in (
        ("find by unique_hash", by_hash, 500),
        ("find by flow_id, limit 10", by_flow, 500),
        ("insert", insert, 500),
    ):
        times = side_by_side(make(many), make(few), repeats)
        yield Row(f"{what}, 100,000 stored", *_with_floor(times, "the same, 1,000 stored"), 1.5)
    for store in stores.values():
        store.close()


def _filled(home: Path, count: int) -> Any:
    from lume_services.services.results.sqlite import SQLiteResultsDB

    store = SQLiteResultsDB.from_settings(None, home=home)
    for start in range(0, count, 10_000):
        numbers = range(start, min(start + 10_000, count))
        store.insert_many("local", [_document(number) for number in numbers])
    return store


def _document(number: int) -> dict[str, Any]:
    return {
        "project_name": "local",
        "flow_id": f"flow-{number % 20}",
        "unique_hash": f"hash-{number}",
        "inputs_hash": f"inputs-{number}",
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "status": "success",
    }


def local_flow(folder: Path) -> Iterator[Row]:
    from lume_services.flows import flow, task

    @task
    def double(x: float) -> float:
        return 2 * x

    @flow
    def three_tasks(x: float) -> float:
        return double(double(double(x)))

    three_tasks(1.0)
    before = _prefect_servers()
    times = []
    for _ in range(200):
        start = time.perf_counter()
        assert three_tasks(1.0) == 8.0
        times.append(time.perf_counter() - start)
    assert _prefect_servers() == before, "a Prefect server was started"
    yield Row(
        "local flow of 3 tasks, no server", statistics.median(times), "1 ms", 1e-3, 5.0, "aim 1"
    )


def _prefect_servers() -> int:
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    return sum("prefect" in line and "server" in line for line in lines.splitlines())


def starting(folder: Path) -> Iterator[Row]:
    times = side_by_side_of(
        lambda: import_time("lume_services.config"), lambda: import_time("pydantic_settings")
    )
    yield Row("import lume_services.config", *_with_floor(times, "import pydantic_settings"), 1.5)
    application = folder / "two.py"
    application.write_text(
        '"""Two commands."""\nimport typer\napp = typer.Typer()\n\n'
        '@app.command()\ndef one(name: str) -> None:\n    """One."""\n\n'
        '@app.command()\ndef two(count: int = 1) -> None:\n    """Two."""\n\napp()\n'
    )
    times = side_by_side_of(
        lambda: process_time("-m", "lume_services", "--help"),
        lambda: process_time(str(application), "--help"),
    )
    yield Row("lume-services --help", *_with_floor(times, "--help of two commands"), 1.5)


def side_by_side_of(
    ours: Callable[[], float], floor: Callable[[], float], repeats: int = 15
) -> tuple[float, float]:
    """Medians of what two functions measure themselves, taken in turns."""
    times = [(ours(), floor()) for _ in range(repeats)]
    return statistics.median(one for one, _ in times), statistics.median(two for _, two in times)


def sweep(folder: Path) -> Iterator[Row]:
    model = Model.create_model(description="busy")
    model.register(five_milliseconds, version="1.0")
    times = []
    for workers, first in ((2, 0.0), (0, 1e6)):
        points = grid(x=np.arange(2_000) + first)
        start = time.perf_counter()
        frame = model.sweep(points, max_workers=workers)
        times.append(time.perf_counter() - start)
        assert len(frame) == 2_000
    yield Row(
        "sweep, 2,000 points of 5 ms, 2 workers",
        times[0],
        "in one process",
        times[1],
        1 / 1.7,
        "1.7 times as fast",
    )


def _with_floor(times: tuple[float, float], floor: str) -> tuple[float, str, float]:
    return times[0], floor, times[1]


EMBEDDED = (recorded_evaluate, large_array, frame, growth, local_flow, starting, sweep)


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    over = 0
    print(f"{'':42}{'ours':>12}{'floor':>12}{'ratio':>7}{'at most':>9}")
    for benchmark in (*EMBEDDED, *packages.BENCHMARKS, *servers.BENCHMARKS, *scheduling.BENCHMARKS):
        if names and benchmark.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            configure(LUMEServicesSettings(home=Path(folder) / "home"))
            for row in benchmark(Path(folder)):
                over += row.ratio > row.bound
                print(
                    f"{row.what:42}{row.ours_s * 1e3:9.3f} ms{row.floor_s * 1e3:9.3f} ms"
                    f"{row.ratio:7.2f}{row.bound:9.2f}  {'OVER' if row.ratio > row.bound else 'ok'}"
                    f"; floor: {row.floor}{'; ' if row.aim else ''}{row.aim}",
                    flush=True,
                )
            context.close()
    if over:
        sys.exit(f"{over} over what they may be; a busy machine shows in both columns")


if __name__ == "__main__":
    main(sys.argv[1:])
