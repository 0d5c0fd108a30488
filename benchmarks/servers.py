"""The shared stores against the bare drivers doing the same, on servers started for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.servers import MariaDB, MongoDB

from benchmarks.measure import Row, side_by_side
from benchmarks.models import trivial
from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.models import Model
from lume_services.results import Result

INPUTS = {f"x{number}": number * 1.1 for number in range(20)}
OUTPUTS = {f"y{number}": number * 1.1 for number in range(10)}
INDEXES = ("flow_id", "inputs_hash", "date_modified")
BOUND = 1.5


def results_on_mongodb(folder: Path) -> Iterator[Row]:
    with MongoDB(folder / "server") as server, server.client(tz_aware=True) as client:
        configure(LUMEServicesSettings(home=folder / "home", results_db={"url": server.url("a")}))
        bare = client.get_database("bare", write_concern=_as_ours()).get_collection("local")
        bare.create_index("unique_hash", unique=True)
        for name in INDEXES:
            bare.create_index(name)
        yield from _insert(bare)
        yield from _find(bare)
        yield from _frame(bare)
        yield from _array(client.get_database("bare", write_concern=_as_ours()))
        context.close()


def _as_ours() -> Any:
    from pymongo import WriteConcern

    return WriteConcern(w="majority", j=True)


def _insert(bare: Any) -> Iterator[Row]:
    service = context.results_db_service()
    counter = itertools.count()
    times = side_by_side(
        lambda: service.insert_one("local", _document(next(counter))),
        lambda: bare.insert_one(_document(next(counter))),
        500,
    )
    yield Row("MongoDB: insert", times[0], "PyMongo insert_one", times[1], BOUND)


def _find(bare: Any) -> Iterator[Row]:
    service = context.results_db_service()
    documents = [_document(number, flow="found") for number in range(100_000, 101_000)]
    service.insert_many("local", documents)
    bare.insert_many(documents)
    query = {"flow_id": "found"}
    assert len(service.find("local", query)) == len(list(bare.find(query))) == 1_000
    times = side_by_side(lambda: service.find("local", query), lambda: list(bare.find(query)), 20)
    yield Row("MongoDB: find 1,000", times[0], "PyMongo find", times[1], BOUND)
    times = side_by_side(
        lambda: service.find("local", {"unique_hash": "hash-100500"}),
        lambda: list(bare.find({"unique_hash": "hash-100500"})),
        300,
    )
    yield Row("MongoDB: find by unique_hash", times[0], "PyMongo find", times[1], BOUND)


def _frame(bare: Any) -> Iterator[Row]:
    model = Model.create_model(description="frame")
    model.register(trivial, version="1.0")
    model.sweep([{**INPUTS, "x0": float(number)} for number in range(10_000)], max_workers=0)
    flow = {"flow_id": model.flow.flow_id}
    bare.insert_many(context.results_db_service().find("local", flow))
    kept = ("date_modified", "flow_id", "version", "status", "_id")

    def floor() -> pd.DataFrame:
        rows = []
        for document in bare.find(flow):
            row = {f"inputs.{name}": value for name, value in document.pop("inputs").items()}
            row |= {f"outputs.{name}": value for name, value in document.pop("outputs").items()}
            rows.append(row | {name: document[name] for name in kept})
        return pd.DataFrame(rows)

    assert len(model.get_results_df()) == len(floor()) == 10_000
    times = side_by_side(model.get_results_df, floor, 5)
    yield Row("MongoDB: 10,000 into a DataFrame", times[0], "PyMongo, DataFrame", times[1], BOUND)


def _array(database: Any) -> Iterator[Row]:
    from gridfs import GridFS

    files = GridFS(database)
    rng = np.random.default_rng(1)
    arrays = [rng.random(512 * 1024) for _ in range(20)]
    results: list[str] = []
    digests: list[str] = []
    to_store, to_put = iter(arrays), iter(arrays)

    def store() -> None:
        result = Result(flow_id="array", inputs={}, outputs={"image": next(to_store)})
        result.insert()
        results.append(result.unique_hash)

    def put() -> None:
        data = next(to_put).tobytes()
        digest = sha256(data).hexdigest()
        files.put(data, _id=digest)
        database["local"].insert_one({**_document(0), "unique_hash": digest, "image": digest})
        digests.append(digest)

    times = side_by_side(store, put, 20)
    yield Row("MongoDB: store a 4 MB array", times[0], "PyMongo GridFS", times[1], BOUND)
    to_load, to_get = iter(results), iter(digests)

    def load() -> None:
        found = Result.load_from_query({"unique_hash": next(to_load)})
        assert found.outputs["image"].shape == (512 * 1024,)

    def get() -> None:
        digest = database["local"].find_one({"unique_hash": next(to_get)})["image"]
        data = files.get(digest).read()
        assert sha256(data).hexdigest() == digest
        assert np.frombuffer(data).shape == (512 * 1024,)

    times = side_by_side(load, get, 20)
    yield Row("MongoDB: load a 4 MB array", times[0], "PyMongo GridFS", times[1], BOUND)


def _document(number: int, flow: str = "flow") -> dict[str, Any]:
    return {
        "project_name": "local",
        "flow_id": flow,
        "unique_hash": f"hash-{number}",
        "inputs_hash": f"inputs-{number}",
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "date_modified": datetime.now(UTC),
        "status": "success",
    }


def registry_on_mariadb(folder: Path) -> Iterator[Row]:
    """With the driver's own test of the connection, as the registry tests those of its pool."""
    import pymysql

    with MariaDB(folder / "server") as server:
        home = folder / "home"
        configure(LUMEServicesSettings(home=home, model_db={"url": server.url("registry")}))
        service = context.model_db_service()
        service.apply_schema()
        place = {"host": server.host, "port": server.port, "database": "registry"}
        connection = pymysql.connect(user=server.user, password=server.password, **place)
        cursor = connection.cursor(pymysql.cursors.DictCursor)
        columns = "model_id, created, author, laboratory, facility, beampath, description"
        names = ("author", "laboratory", "facility", "beampath", "description")
        where = " AND ".join(f"{name} = %s" for name in names)
        counter = itertools.count()

        def get_model() -> None:
            assert service.get_model(model_id=model_id).description == "0"

        def select() -> None:
            connection.ping()
            cursor.execute(f"SELECT {columns} FROM model WHERE model_id = %s", [model_id])
            (row,) = cursor.fetchall()
            connection.rollback()
            assert row["description"] == "0"

        def store_model() -> int:
            return service.store_model(**_identity(names, next(counter)))

        def insert() -> None:
            identity = list(_identity(names, next(counter)).values())
            created = datetime.now(UTC).replace(tzinfo=None)
            connection.ping()
            cursor.execute(f"SELECT {columns} FROM model WHERE {where}", identity)
            assert not cursor.fetchall()
            connection.rollback()
            cursor.execute("START TRANSACTION READ WRITE")
            cursor.execute(
                f"INSERT INTO model (created, {', '.join(names)}) VALUES (%s, %s, %s, %s, %s, %s)",
                [created, *identity],
            )
            connection.commit()

        def get_models() -> None:
            assert len(service.get_models(author="found")) == 1_000

        def select_all() -> None:
            connection.ping()
            cursor.execute(
                f"SELECT {columns} FROM model WHERE author = %s ORDER BY model_id", ["found"]
            )
            rows = cursor.fetchall()
            connection.rollback()
            assert len(rows) == 1_000

        model_id = store_model()
        times = side_by_side(store_model, insert, 300)
        yield Row("MariaDB: store a model", times[0], "PyMySQL, the same SQL", times[1], BOUND)
        times = side_by_side(get_model, select, 500)
        yield Row("MariaDB: get a model", times[0], "PyMySQL, the same SQL", times[1], BOUND)
        for number in range(1_000):
            service.store_model(**{**_identity(names, number), "author": "found"})
        times = side_by_side(get_models, select_all, 20)
        yield Row("MariaDB: find 1,000 models", times[0], "PyMySQL, the same SQL", times[1], BOUND)
        connection.close()
        context.close()


def _identity(names: tuple[str, ...], number: int) -> dict[str, str]:
    return {name: str(number) for name in names}


BENCHMARKS = (results_on_mongodb, registry_on_mariadb)
