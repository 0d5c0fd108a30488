"""A store that is used by a process and, after a fork, by its children."""

from __future__ import annotations

import multiprocessing
import os

from lume_services.services.results import ResultsDB


def insert_in_child(store: ResultsDB) -> None:
    store.insert_one("c", {"process": os.getpid()})
    store.close()


def insert_in_parent_and_children(store: ResultsDB) -> None:
    """Each stores one document, at the same time; all of them are there."""
    children = [
        multiprocessing.get_context("fork").Process(target=insert_in_child, args=(store,))
        for _ in range(3)
    ]
    for child in children:
        child.start()
    store.insert_one("c", {"process": os.getpid()})
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(store.distinct("c", "process")) == 4
