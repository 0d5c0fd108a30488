"""What a store that is away does not take waits in the outbox, and gets there once and whole."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.away_store import AwayDB
from tests.models import functions

from lume_services.config import configure, context
from lume_services.errors import (
    BlobNotFoundError,
    DuplicateResultError,
    LUMEServicesWarning,
    ResultsDBError,
    ResultsDBUnavailableError,
    SerializationError,
)
from lume_services.models import Model, grid
from lume_services.results import Result
from lume_services.services.results import ResultsDB, ResultsDBService, delivery, outbox
from lume_services.services.results.outbox import waiting


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AwayDB]:
    folder = tmp_path / "lab"
    folder.mkdir()
    store = AwayDB(folder)
    yield store
    store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was away is asked again at once, however long it took the last time."""
    ticks = itertools.count()
    monkeypatch.setattr(delivery, "_PAUSE_S", 0)
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.fixture
def service(store: AwayDB, folder: Path, no_pause: None) -> ResultsDBService:
    return ResultsDBService(store, folder)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Where a warning is expected and not the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LUMEServicesWarning)
        yield


@pytest.fixture
def told() -> Iterator[list[warnings.WarningMessage]]:
    """The warnings of this package."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", LUMEServicesWarning)
        yield told


def result(number: int, **outputs: Any) -> Result:
    return Result(flow_id="f", inputs={"x": number}, outputs={"y": number, **outputs})


def large(number: int) -> np.ndarray[Any, Any]:
    return np.full(200_000, number, dtype=float)


def test_nothing_is_made_for_a_store_that_is_there(service: ResultsDBService, folder: Path) -> None:
    result(1, image=large(1)).insert(service)
    assert not folder.exists()
    assert service.flush() == outbox.Sent()
    assert service.find_waiting("local") == []


def test_a_result_waits_and_the_next_one_sends_it_in_order(
    service: ResultsDBService, store: AwayDB, folder: Path
) -> None:
    store.leave()
    results = [result(number, image=large(number)) for number in range(3)]
    with pytest.warns(LUMEServicesWarning, match=rf"{folder}.*{store.address} is away") as told:
        ids = [one.insert(service) for one in results]
    assert len(told) == 1, "once, not for every result"
    assert all(isinstance(name, str) for name in ids)
    assert waiting(folder) == [(store.address, 3, next(folder.iterdir()))]
    store.come_back()
    assert service.count("local") == 0
    ids.append(result(3, image=large(3)).insert(service))
    assert [document["_id"] for document in service.find_all("local")] == ids
    assert waiting(folder) == []
    for number, document in enumerate(service.find_all("local")):
        found = Result.from_document(document, store.get_blob)
        assert np.array_equal(found.outputs["image"], large(number))


def test_flush_sends_everything_once(
    service: ResultsDBService, store: AwayDB, folder: Path, quiet: None
) -> None:
    store.leave()
    ids = [result(number).insert(service) for number in range(5)]
    with pytest.raises(ResultsDBUnavailableError, match="is away"):
        service.flush()
    store.come_back()
    assert service.flush() == outbox.Sent(sent=5)
    assert service.flush() == outbox.Sent()
    assert [document["_id"] for document in service.find_all("local")] == ids


def test_a_warning_comes_again_after_the_store_was_back(
    service: ResultsDBService, store: AwayDB, told: list[warnings.WarningMessage]
) -> None:
    for number in range(2):
        store.leave()
        result(10 * number).insert(service)
        result(10 * number + 1).insert(service)
        assert len(told) == number + 1
        assert "is away" in str(told[-1].message)
        store.come_back()
        result(10 * number + 2).insert(service)
    assert service.count("local") == 6


def test_documents_come_out_as_they_went_in(
    service: ResultsDBService, store: AwayDB, quiet: None
) -> None:
    document = {
        "z": 1, "a": [1.0, -0.0, math.inf, 2**63 - 1, True, None, "ä\n\u2028😀"],
        "when": datetime(2026, 1, 2, 3, 4, 5, 6000, UTC), "raw": b"\0\xff\n", "empty": b"",
        "in": {"nan": math.nan, "none": {}}, "project_name": "c",
    }  # fmt: skip
    store.leave()
    name = service.insert_one("c\nd", document)
    (waiting,) = service.find_waiting("c\nd", {"z": 1})
    store.come_back()
    service.flush()
    (found,) = service.find("c\nd")
    for stored in (waiting, found):
        assert stored.pop("_id") == name
        assert repr(stored) == repr(document), "types and order included"


def test_the_same_result_has_the_same_id_whether_it_waits_or_not(
    service: ResultsDBService, store: AwayDB, quiet: None
) -> None:
    there = result(1).insert(service)
    store.leave()
    assert result(1).insert(service) == there
    waits = result(2).insert(service)
    assert result(2).insert(service) == waits
    store.come_back()
    assert result(2).insert(service) == waits
    assert [document["_id"] for document in service.find_all("local")] == [there, waits]


def test_what_is_there_under_another_id_is_counted_as_there(
    service: ResultsDBService, store: AwayDB, quiet: None
) -> None:
    store.leave()
    result(1).insert(service)
    store.come_back()
    store.insert_one("local", {**result(1).get_db_dict(), "_id": "theirs"})
    assert service.flush() == outbox.Sent(already_there=1)
    assert [document["_id"] for document in service.find_all("local")] == ["theirs"]


def test_an_answer_that_was_lost_makes_no_second_document(
    service: ResultsDBService, store: AwayDB, monkeypatch: pytest.MonkeyPatch, quiet: None
) -> None:
    insert = AwayDB.insert_many

    def lost(self: AwayDB, collection: str, documents: Any) -> list[str]:
        insert(self, collection, documents)
        raise ResultsDBUnavailableError("The answer was lost.")

    monkeypatch.setattr(AwayDB, "insert_many", lost)
    names = [service.insert_one("c", {"no": "hash"}), result(1).insert(service)]
    monkeypatch.undo()
    assert service.flush().refused == []
    assert service.flush() == outbox.Sent()
    assert [document["_id"] for document in store.scan(None)] == names


def test_only_an_absence_sends_to_the_outbox(
    service: ResultsDBService, store: AwayDB, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.insert_one("c", {"_id": "a"})
    with pytest.raises(DuplicateResultError):
        service.insert_one("c", {"_id": "a", "x": 1})
    monkeypatch.setattr(
        AwayDB, "insert_many", lambda *_: (_ for _ in ()).throw(ResultsDBError("refused"))
    )
    with pytest.raises(ResultsDBError, match="refused"):
        service.insert_one("c", {"x": 1})
    store.leave()
    with pytest.raises(SerializationError):
        service.insert_one("c", {"x": object()})
    assert not folder.exists()


def test_without_a_folder_the_absence_is_raised(store: AwayDB) -> None:
    store.leave()
    service = ResultsDBService(store)
    with pytest.raises(ResultsDBUnavailableError):
        service.insert_one("c", {"x": 1})
    with pytest.raises(ResultsDBUnavailableError):
        service.put_blob(b"x")
    assert service.find_waiting("c") == []


def test_a_store_that_is_away_is_not_asked_for_every_result(
    store: AwayDB, folder: Path, monkeypatch: pytest.MonkeyPatch, quiet: None
) -> None:
    now = 100.0
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: now))
    service = ResultsDBService(store, folder)
    store.leave()
    for number in range(50):
        result(number, image=large(number)).insert(service)
    assert store.asked == 1
    now += 9
    result(50).insert(service)
    assert store.asked == 1
    now += 2
    result(51).insert(service)
    assert store.asked == 2
    store.come_back()
    now += 9
    result(52).insert(service)
    assert service.count("local") == 0
    now += 2
    result(53).insert(service)
    assert [document["inputs"]["x"] for document in service.find_all("local")] == [*range(54)]


def test_no_document_in_the_store_refers_to_a_blob_that_only_the_outbox_has(
    service: ResultsDBService, store: AwayDB, quiet: None
) -> None:
    store.leave()
    document = result(1, image=large(1)).get_db_dict(service.put_blob)
    store.come_back()  # between the blob and its document
    service.insert_one("local", document)
    (found,) = service.find_all("local")
    image = Result.from_document(found, store.get_blob).outputs["image"]
    assert np.array_equal(image, large(1))


def test_a_blob_that_waits_can_be_read(
    service: ResultsDBService, store: AwayDB, quiet: None
) -> None:
    store.leave()
    digest = service.put_blob(b"waits")
    assert service.get_blob(digest) == b"waits"
    with pytest.raises(ResultsDBUnavailableError):
        service.get_blob("0" * 64)
    store.come_back()
    with pytest.raises(BlobNotFoundError):
        service.get_blob("0" * 64)


def test_results_for_one_store_never_get_to_another(tmp_path: Path, folder: Path) -> None:
    stores = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        stores.append(AwayDB(tmp_path / name))
    first, second = (ResultsDBService(store, folder) for store in stores)
    stores[0].leave()
    with pytest.warns(LUMEServicesWarning):
        name = result(1).insert(first)
    result(2).insert(second)
    assert second.flush() == outbox.Sent()
    assert [document["inputs"]["x"] for document in second.find_all("local")] == [2]
    assert [(one.address, one.results) for one in waiting(folder)] == [("away://a", 1)]
    stores[0].come_back()
    assert first.flush().sent == 1
    assert first.find_all("local")[0]["_id"] == name
    for store in stores:
        store.close()


def test_addresses_that_read_alike_are_different_stores(folder: Path) -> None:
    addresses = ["mongodb://a/b", "mongodb://a-b", "mongodb://A/b", "x" * 300 + "1", "x" * 300]
    folders = {outbox.Outbox(folder, address).folder for address in addresses}
    assert len(folders) == len(addresses)
    assert all(one.parent == folder for one in folders)


def test_what_the_store_refuses_stays_and_the_others_go_on(
    service: ResultsDBService, store: AwayDB, folder: Path, quiet: None
) -> None:
    service.insert_one("c", {"_id": "taken", "x": 0})
    store.leave()
    service.insert_many("c", [{"x": 1}, {"_id": "taken", "x": 2}, {"x": 3}])
    service.insert_one("c", {"x": 4})
    store.come_back()
    sent = service.flush()
    assert sent.sent == 3
    (refused,) = sent.refused
    assert (refused.collection, refused.id) == ("c", "taken")
    assert "taken by another document" in refused.reason
    assert [document["x"] for document in service.find_all("c")] == [0, 1, 3, 4]
    assert [one.results for one in waiting(folder)] == [1]
    assert [document["x"] for document in service.find_waiting("c")] == [2]
    assert service.flush() == outbox.Sent(refused=[refused])
    service.delete("c", ["taken"])
    assert service.flush() == outbox.Sent(sent=1)
    assert waiting(folder) == []


def test_what_is_refused_holds_up_no_insert_and_is_told_once(
    service: ResultsDBService, store: AwayDB, told: list[warnings.WarningMessage]
) -> None:
    service.insert_one("c", {"_id": "taken"})
    store.leave()
    service.insert_one("c", {"_id": "taken", "x": 1})
    store.come_back()
    service.insert_many("c", [{"x": 2}, {"x": 3}])
    service.insert_one("c", {"x": 4})
    assert len(told) == 2
    assert "does not take 1 of the results" in str(told[1].message)
    assert service.count("c") == 4


def test_a_damaged_file_or_blob_is_named_and_the_others_go_on(
    service: ResultsDBService, store: AwayDB, folder: Path, quiet: None
) -> None:
    store.leave()
    for number in range(4):
        result(number, image=large(number)).insert(service)
    box = next(folder.iterdir())
    file = sorted((box / "documents").iterdir())[0]
    file.write_bytes(file.read_bytes()[:-20])
    blob = box / "blobs" / (digest := np_digest(large(1)))[:2] / digest[2:]
    blob.write_bytes(blob.read_bytes()[:-1])
    store.come_back()
    sent = service.flush()
    assert sent.sent == 2
    reasons = [one.reason for one in sent.refused]
    assert str(file) in reasons[0]
    assert "damaged" in reasons[0]
    assert str(blob) in reasons[1]
    assert [document["inputs"]["x"] for document in service.find_all("local")] == [2, 3]
    assert [one.results for one in waiting(folder)] == [2]


def line(text: str, raw: str = "-") -> str:
    """A file of one document, whose text is not what the outbox would write."""
    return f'{{"collection": "c", "documents": 1}}\n{text}\n{raw}\n'


@pytest.mark.parametrize(
    "content",
    [
        "",
        line("[1]"),
        line('{"x": 1}'),
        line('{"_id": "a", "when": {"%date": 1e300}}', raw=""),
        line('{"_id": "a", "when": {"%date": 99999999999999999}}', raw=""),
        line('{"_id": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        None,
    ],
    ids=["empty", "list", "no-id", "float-date", "late-date", "deep", "folder"],
)
def test_a_file_that_cannot_be_read_keeps_nothing_out_of_the_store(
    service: ResultsDBService,
    store: AwayDB,
    folder: Path,
    told: list[warnings.WarningMessage],
    content: str | None,
) -> None:
    store.leave()
    result(0).insert(service)
    file = next(folder.glob("*/documents")) / "0-damaged.jsonl"
    file.mkdir() if content is None else file.write_text(content)
    assert [one.results for one in waiting(folder)] in ([2], [1])
    assert [document["inputs"] for document in service.find_waiting("local")] == [{"x": 0}]
    store.come_back()
    result(1).insert(service)
    result(2).insert(service)
    assert [document["inputs"]["x"] for document in service.find_all("local")] == [0, 1, 2]
    assert str(file) in str(told[-1].message)
    (refused,) = service.flush().refused
    assert refused.id == file.name


def test_a_result_is_kept_while_those_before_it_are_sent(
    service: ResultsDBService,
    store: AwayDB,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    quiet: None,
) -> None:
    store.leave()
    result(0).insert(service)
    store.come_back()

    def interrupted(*_: object) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AwayDB, "insert_many", interrupted)
        with pytest.raises(KeyboardInterrupt):
            result(1).insert(service)
    assert [one.results for one in waiting(folder)] == [2]
    service.flush()
    assert [document["inputs"]["x"] for document in service.find_all("local")] == [0, 1]


def test_what_is_refused_behind_others_is_told_and_not_kept(
    service: ResultsDBService, store: AwayDB, folder: Path, quiet: None
) -> None:
    service.insert_one("c", {"_id": "taken"})
    store.leave()
    service.insert_one("c", {"x": 1})
    store.come_back()
    with pytest.raises(DuplicateResultError):
        service.insert_one("c", {"_id": "taken", "x": 2})
    assert waiting(folder) == []
    assert service.count("c") == 2


def test_a_blob_is_kept_until_its_document_is_stored(
    service: ResultsDBService, store: AwayDB, quiet: None
) -> None:
    service.insert_one("c", {"_id": "taken"})
    store.leave()
    image = service.put_blob(large(1).tobytes())
    service.insert_one("c", {"_id": "taken", "image": {"%blob": image, "size": 1}})
    store.come_back()
    assert len(service.flush().refused) == 1
    store.collect_orphans(0)
    service.delete("c", ["taken"])
    assert service.flush().sent == 1
    assert np_digest(large(1)) == image
    assert store.get_blob(image) == large(1).tobytes()


@pytest.mark.parametrize("damage", ["cut", "unreadable"])
def test_a_good_blob_in_the_store_makes_up_for_one_in_the_outbox(
    service: ResultsDBService, store: AwayDB, folder: Path, damage: str, quiet: None
) -> None:
    store.leave()
    document = result(1, image=large(1)).get_db_dict(service.put_blob)
    digest = np_digest(large(1))
    copy = next(folder.iterdir()) / "blobs" / digest[:2] / digest[2:]
    copy.unlink()
    copy.mkdir() if damage == "unreadable" else copy.write_bytes(b"cut")
    store.come_back()
    with pytest.raises(ResultsDBError):
        service.get_blob(digest)
    store.put_blob(large(1).tobytes())
    assert service.get_blob(digest) == large(1).tobytes()
    service.insert_one("local", document)
    assert service.count("local") == 1


def test_a_child_that_was_forked_while_sending_holds_nobody_up(
    service: ResultsDBService, store: AwayDB, monkeypatch: pytest.MonkeyPatch, quiet: None
) -> None:
    store.leave()
    result(0).insert(service)
    store.come_back()
    done = multiprocessing.get_context("fork").Event()
    child = multiprocessing.get_context("fork").Process(target=done.wait, args=(60,))
    insert = AwayDB.insert_many

    def forking(self: AwayDB, collection: str, documents: Any) -> list[str]:
        if child.pid is None:
            child.start()
        return insert(self, collection, documents)

    monkeypatch.setattr(AwayDB, "insert_many", forking)
    service.flush()
    store.leave()
    result(1).insert(service)
    store.come_back()
    sender = threading.Thread(target=service.flush, daemon=True)
    sender.start()
    sender.join(30)
    done.set()
    child.join()
    assert not sender.is_alive(), "it waits for the child"
    assert service.count("local") == 2


def test_every_absence_is_told_by_pythons_own_filter(
    service: ResultsDBService, store: AwayDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(datetime(2026, 1, 2, 3, minute) for minute in range(60))
    monkeypatch.setattr(delivery, "datetime", SimpleNamespace(now=lambda: next(times)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for number in range(3):
            store.leave()
            result(2 * number).insert(service)
            store.come_back()
            result(2 * number + 1).insert(service)
    assert ["Since 03:0" in str(one.message) for one in told] == [True] * 3


def test_a_store_that_does_not_say_where_it_is_has_no_outbox(tmp_path: Path, folder: Path) -> None:
    class Nowhere(AwayDB):
        address = ResultsDB.address

    store = Nowhere(tmp_path)
    store.leave()
    with pytest.raises(ResultsDBUnavailableError):
        ResultsDBService(store, folder).insert_one("c", {"x": 1})
    assert not folder.exists()


def np_digest(array: np.ndarray[Any, Any]) -> str:
    from hashlib import sha256

    return sha256(array).hexdigest()


def test_a_document_whose_blob_the_store_has_lost_meanwhile_is_not_sent_without_it(
    service: ResultsDBService, store: AwayDB, quiet: None
) -> None:
    document = result(1, image=large(1)).get_db_dict(service.put_blob)
    store.leave()
    service.insert_one("local", document)
    store.collect_orphans(0)
    store.come_back()
    (refused,) = service.flush().refused
    assert np_digest(large(1)) in refused.reason
    assert service.count("local") == 0
    service.put_blob(large(1).tobytes())
    assert service.flush().sent == 1


def test_when_the_outbox_fails_too_both_reasons_are_said(
    service: ResultsDBService, store: AwayDB, folder: Path
) -> None:
    folder.touch()  # a file where the folder should be
    store.leave()
    for insert in (lambda: service.insert_one("c", {"x": 1}), lambda: service.put_blob(b"x")):
        with pytest.raises(ResultsDBUnavailableError) as raised:
            insert()
        assert f"{store.address} is away." in str(raised.value)
        assert str(folder) in str(raised.value)
    store.come_back()
    folder.unlink()
    service.insert_one("c", {"x": 2})
    assert [document["x"] for document in service.find_all("c")] == [2]


def test_an_outbox_that_fails_keeps_nothing_out_of_a_store_that_is_there(
    service: ResultsDBService, store: AwayDB, folder: Path, told: list[warnings.WarningMessage]
) -> None:
    store.leave()
    service.insert_one("c", {"x": 1})
    store.come_back()
    lock = next(folder.iterdir()) / "lock"
    lock.mkdir()
    service.insert_one("c", {"x": 2})
    assert "was not sent: The outbox" in str(told[-1].message)
    assert [document["x"] for document in service.find_all("c")] == [2]
    lock.rmdir()
    service.flush()
    assert service.count("c") == 2


def test_threads_that_send_at_once_send_everything_once(
    service: ResultsDBService, store: AwayDB, folder: Path, quiet: None
) -> None:
    store.leave()
    for number in range(40):
        service.insert_one("c", {"number": number})
    store.come_back()
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(service.flush().sent)) for _ in range(4)
    ]
    threads += [
        threading.Thread(target=service.insert_one, args=("c", {"number": 40 + number}))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.flush()
    assert sum(counts) <= 40
    numbers = [document["number"] for document in service.find_all("c")]
    assert sorted(numbers) == [*range(44)]
    assert [number for number in numbers if number < 40] == [*range(40)], "in their order"


def test_what_killed_processes_left_goes_after_a_day(
    service: ResultsDBService, store: AwayDB, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.leave()
    digest = service.put_blob(b"no document came")
    box = next(folder.iterdir())
    (box / "documents" / ".lume-tmp-1.jsonl").touch()
    store.come_back()
    assert service.flush() == outbox.Sent()
    assert service.get_blob(digest) == b"no document came"
    monkeypatch.setattr(outbox, "_LEFT_OVER_S", -1)
    service.flush()
    assert [*(box / "documents").iterdir()] == []
    with pytest.raises(BlobNotFoundError):
        service.get_blob(digest)


# --- Models --------------------------------------------------------------------------------------


@pytest.fixture
def lens(store: AwayDB) -> Model:
    configure(results_db=store)
    model = Model.create_model(description="lens")
    model.register(functions.thin_lens, version="1.0")
    return model


def test_an_evaluation_gives_its_result_and_the_next_one_sends_it(
    lens: Model, store: AwayDB, lume_home: Path, no_pause: None
) -> None:
    store.leave()
    with pytest.warns(LUMEServicesWarning, match=f"{lume_home / 'outbox'}.*results flush"):
        first = lens.evaluate({"f": 2.0, "x": 1.0})
    assert first.outputs["xp"] == -0.5
    assert first.id is not None
    store.come_back()
    second = lens.evaluate({"f": 4.0, "x": 1.0})
    assert [found.id for found in lens.get_results()] == [first.id, second.id]
    assert lens.get_results()[0].provenance.package_list()  # is there


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sweep_completes_while_the_store_is_away_and_is_resumed_from_the_outbox(
    lens: Model, store: AwayDB, workers: int, told: list[warnings.WarningMessage]
) -> None:
    points = grid(f=[1.0, 2.0, 4.0], x=1.0)
    store.leave()
    table = lens.sweep(points, max_workers=workers)
    again = lens.sweep(points, max_workers=workers)
    texts = [str(one.message) for one in told]
    assert any("Which points are recorded" in text for text in texts)
    assert list(table["outputs.xp"]) == [-1.0, -0.5, -0.25]
    assert list(again["id"]) == list(table["id"])
    store.come_back()
    assert context.results_db_service().flush().sent == 3
    assert [found.id for found in lens.get_results()] == list(table["id"])


def test_arrays_of_a_sweep_are_in_its_table_wherever_they_are(
    store: AwayDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(results_db=store)
    model = Model.create_model(description="camera")
    calls = []

    def camera(inputs: dict[str, Any]) -> dict[str, Any]:
        calls.append(inputs)
        if len(calls) == 2:
            store.leave()
        return {"image": large(int(inputs["x"]))}

    with pytest.warns(LUMEServicesWarning, match="notebook"):
        model.register(camera, version="1.0")
    with pytest.warns(LUMEServicesWarning) as told:
        table = model.sweep(grid(x=[1.0, 2.0, 3.0]), max_workers=0)
    assert any("cannot be read" in str(one.message) for one in told)
    assert len(table) == 3
    store.come_back()
    context.results_db_service().flush()
    table = model.get_results_df(sort=[("inputs.x", 1)])
    for number, image in enumerate(table["outputs.image"], start=1):
        assert np.array_equal(image, large(number))


def test_the_task_that_saves_results_keeps_them_too(
    store: AwayDB, folder: Path, quiet: None
) -> None:
    from lume_services.tasks import save_db_result

    configure(results_db=store)
    store.leave()
    assert save_db_result(result(1))["query"]["unique_hash"]
    store.come_back()
    assert context.results_db_service().flush().sent == 1
