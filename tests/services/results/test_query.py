"""Queries over plain documents; the stores are tested over the same table."""

from __future__ import annotations

import re

import pytest

from lume_services.errors import UnsupportedQueryError
from lume_services.services.results.query import compile_query
from lume_services.services.results.selection import Selection
from lume_services.testing.query_cases import QUERY_CASES, REFUSED_QUERIES, QueryCase


@pytest.mark.parametrize("case", QUERY_CASES, ids=lambda case: ascii(case.query))
def test_query_matches_as_mongodb_does(case: QueryCase) -> None:
    assert compile_query(case.query)(case.document) is case.matches
    assert compile_query({"$nor": [case.query]})(case.document) is not case.matches


@pytest.mark.parametrize(("query", "message"), REFUSED_QUERIES)
def test_refusal_names_what_is_wrong(query: dict[object, object], message: str) -> None:
    with pytest.raises(UnsupportedQueryError, match=message):
        compile_query(query)  # some are not queries at all


def test_refusal_of_an_operator_lists_those_known() -> None:
    with pytest.raises(UnsupportedQueryError, match=r"'\$where'.*\$elemMatch.*\$nor"):
        compile_query({"$where": "1"})


def test_misplaced_operator_is_told_where_it_belongs() -> None:
    with pytest.raises(UnsupportedQueryError, match=re.escape("{'x': {'$gt': …}}")):
        compile_query({"$gt": 3})
    with pytest.raises(UnsupportedQueryError, match=re.escape("$or takes queries")):
        compile_query({"x": {"$or": [1]}})


def test_refusal_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        compile_query({"x": {"$in": [1, 2**70]}})


def test_element_named_by_index_hides_that_documents_lack_the_name() -> None:
    """Not in the manual, but so in the server: 'x.0.y' looks for a name '0' in {'y': 1} too."""
    assert compile_query({"x.0.y": None})({"x": [{"y": 1}]})


def test_documents_are_taken_no_further_than_the_limit() -> None:
    taken = []

    def endless():
        n = 0
        while True:
            taken.append(n)
            yield {"_id": str(n), "n": n}
            n += 1

    found = list(Selection({"n": {"$gt": 3}}, limit=2, skip=1).apply(endless()))
    assert [document["n"] for document in found] == [5, 6]
    assert len(taken) == 7


def test_sort_by_two_names_of_one_array_takes_them_from_one_element() -> None:
    documents = [
        {"_id": "a", "x": [{"y": 1, "z": 5}, {"y": 2, "z": 0}]},
        {"_id": "b", "x": {"y": 1, "z": 3}},
    ]
    found = Selection(sort=[("x.y", 1), ("x.z", 1)]).apply(documents)
    assert [document["_id"] for document in found] == ["b", "a"]
