"""``results copy`` and ``results flush``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lume_services import plugins
from lume_services.config import configure, context
from lume_services.errors import LUMEServicesWarning
from lume_services.models import Model
from lume_services.results import Result
from lume_services.services.results.sqlite import SQLiteResultsDB
from tests.away_store import AwayDB
from tests.commands import Run
from tests.models import functions


@pytest.fixture
def recorded(lume_home: Path) -> Path:
    configure()
    for number in range(3):
        image = np.full(200_000, number)
        Result(flow_id="f", inputs={"x": number}, outputs={"image": image}).insert()
    Result(flow_id="f", project_name="other", inputs={}, outputs={}).insert()
    return lume_home


def test_results_are_copied_to_another_store_and_back(run: Run, recorded: Path) -> None:
    url = f"sqlite:///{recorded}/copy.db"
    done = run("results", "copy", "--to", url, "--json")
    assert done.json == {
        "from": f"sqlite:///{recorded}/results.db", "to": url, "copied": 4, "already_there": 0,
        "blobs": 3, "blob_bytes": 3 * 1_600_000, "refused": [],
    }  # fmt: skip
    again = run("results", "copy", "--to", url)
    assert (again.code, "4 there already" in again.err) == (0, True)
    back = run("results", "copy", "--from", url, "--to", f"sqlite:///{recorded}/back.db", "--json")
    assert back.json["copied"] == 4
    store = SQLiteResultsDB(recorded / "back.db")
    assert store.count("local") == 3
    store.close()


def test_one_project_is_copied(run: Run, recorded: Path) -> None:
    url = f"sqlite:///{recorded}/copy.db"
    assert run("results", "copy", "--to", url, "--project", "other", "--json").json["copied"] == 1


def test_the_default_store_is_found_by_its_url_when_another_is_configured(
    run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_RESULTS_DB__URL", f"sqlite:///{recorded}/lab.db")
    done = run("results", "copy", "--from", f"sqlite:///{recorded}/results.db", "--json")
    assert (done.json["copied"], done.json["blobs"], done.code) == (4, 3, 0)


def test_what_does_not_verify_is_listed(run: Run, recorded: Path) -> None:
    blob = next((recorded / "blobs").glob("??/*"))
    blob.write_bytes(blob.read_bytes()[:-1])
    done = run("results", "copy", "--to", f"sqlite:///{recorded}/copy.db")
    assert done.code == 1
    assert "damaged" in done.out
    assert "3 results copied" in done.err
    done = run("results", "copy", "--to", f"sqlite:///{recorded}/copy.db", "--json")
    assert (done.code, done.json["already_there"], len(done.json["refused"])) == (1, 3, 1)


def test_a_password_in_a_url_is_refused_and_taken_from_a_file(run: Run, recorded: Path) -> None:
    done = run("results", "copy", "--to", "mongodb://me:n0tshown@lab.example/lume")
    assert done.code == 2
    assert "--to holds a password, which `ps` shows" in done.err
    assert "n0tshown" not in done.err + done.out
    file = recorded / "copy.env"
    file.write_text(
        f"LUME_RESULTS_DB__URL=sqlite:///{recorded}/copy.db\nLUME_RESULTS_DB__PASSWORD=n0tshown\n"
        f"LUME_RESULTS_DB__BLOBS={recorded}/large\nOTHER=1\n"
    )
    done = run("results", "copy", "--to", str(file), "--json")
    assert (done.json["copied"], done.json["to"]) == (4, f"sqlite:///{recorded}/copy.db")
    assert (recorded / "large").is_dir()
    assert "n0tshown" not in done.err + done.out


def test_variables_of_the_configured_store_are_not_those_of_the_other(
    run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_RESULTS_DB__URL", f"sqlite:///{recorded}/lab.db")
    monkeypatch.setenv("LUME_RESULTS_DB__BLOBS", str(recorded / "large"))
    run("results", "copy", "--from", f"sqlite:///{recorded}/results.db")
    assert run("results", "copy", "--to", f"sqlite:///{recorded}/b.db", "--json").code == 0
    assert (recorded / "large").is_dir()
    assert (recorded / "b-blobs").is_dir()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "--from and --to are the same"),
        (("--to", "copy.db"), "is no URL, and as a file it cannot be read"),
        (("--to", "nothing://x"), "'nothing' is not available"),
        (("--to", "mongodb://h/d?password=x"), "--to: .*holds a secret"),
        (("--from", "sqlite:////no/such.db"), "--from: there is no file /no/such.db"),
    ],
)
def test_mistakes_are_told(
    run: Run, recorded: Path, arguments: tuple[str, ...], problem: str
) -> None:
    import re

    done = run("results", "copy", *arguments)
    assert done.code == 2
    assert re.search(problem, done.err)


# --- flush ---------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwayDB]:
    """A store that variables select, and that is away."""

    class Lab(AwayDB):
        @classmethod
        def from_settings(cls, config: object, *, home: Path) -> Lab:
            return cls(tmp_path)

    load = plugins.load

    def lab_too(group: str, name: str, *, variable: str) -> object:
        return Lab if name == "lab" else load(group, name, variable=variable)

    monkeypatch.setattr(plugins, "check", lambda *_, **__: None)
    monkeypatch.setattr(plugins, "load", lab_too)
    monkeypatch.setenv("LUME_RESULTS_DB__URL", "lab://here")
    store = Lab(tmp_path)
    store.leave()
    configure()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LUMEServicesWarning)
        for number in range(2):
            Result(flow_id="f", inputs={"x": number}, outputs={}).insert()
    yield store
    store.close()


def test_results_that_wait_are_sent(run: Run, lab: AwayDB) -> None:
    away = run("results", "flush")
    assert away.code == 1
    assert "is away" in away.err
    assert "Nothing is lost: 2 results in" in away.err
    (waiting,) = run("results", "waiting", "--json").json
    assert (waiting["address"], waiting["results"]) == (lab.address, 2)
    assert "2" in run("results", "waiting").out
    assert "2 results wait in the outbox" in run("config", "check").err
    refused = run("results", "gc")
    assert (refused.code, "2 results wait" in refused.err) == (1, True)
    typo = run("results", "flush", "--waiting-for", "lab://heer")
    assert (typo.code, "nothing waits for 'lab://heer'" in typo.err) == (2, True)
    lab.come_back()
    assert "2 results wait in the outbox" in run("results", "list").err
    sent = run("results", "flush")
    assert (sent.code, f"2 results sent to {lab.address}" in sent.err) == (0, True)
    assert run("results", "flush", "--json").json == {
        "to": lab.address, "sent": 0, "already_there": 0, "refused": [], "waiting_elsewhere": [],
    }  # fmt: skip
    assert "outbox" not in run("results", "list").err
    assert "Nothing waits" in run("results", "waiting").err
    assert lab.count("local") == 2


def test_a_run_says_that_its_result_waits(run: Run, lab: AwayDB) -> None:
    model = Model.create_model(description="limited")
    model.register(functions.fails_above_one, version="1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LUMEServicesWarning)
        done = run("run", "limited", "-p", "x=0.5")
    assert done.code == 0, done.err
    assert "3 results wait in the outbox" in done.err
    assert "results show" not in done.err, "it is not there yet"
    lab.come_back()
    assert "results show" in run("run", "limited", "-p", "x=0.25").err


def test_what_waits_elsewhere_is_told_and_sent_when_asked_for(
    run: Run, lab: AwayDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUME_RESULTS_DB__URL")
    done = run("results", "flush")
    assert done.code == 0
    assert "Nothing waits for" in done.err
    assert f"2 results for {lab.address}" in done.err
    (elsewhere,) = run("results", "flush", "--json").json["waiting_elsewhere"]
    assert (elsewhere["address"], elsewhere["results"]) == (lab.address, 2)
    assert context.results_db_service().count("local") == 0
    assert run("results", "flush", "--waiting-for", lab.address, "--json").json["sent"] == 2
    assert context.results_db_service().count("local") == 2


def test_what_is_refused_is_listed(run: Run, lab: AwayDB) -> None:
    lab.come_back()
    lab.insert_one("local", {"_id": "taken"})
    lab.leave()
    configure()
    service = context.results_db_service()
    with pytest.warns(LUMEServicesWarning, match="is away"):
        service.insert_one("local", {"_id": "taken", "x": 1})
    lab.come_back()
    done = run("results", "flush")
    assert done.code == 1
    assert "taken by another document" in done.out
    assert "2 results sent" in done.err
    (refused,) = run("results", "flush", "--json").json["refused"]
    assert (refused["collection"], refused["id"]) == ("local", "taken")
