"""Any kind of model is evaluated in one way, and its inputs are checked first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lume_services.errors import InvalidInputError, ModelFailedError, ModelLoadError
from lume_services.models.evaluation import Evaluator, entry_point_of, load_entry_point
from tests.models import functions, physics


def test_a_lume_model_is_reset_set_and_read() -> None:
    evaluator = Evaluator(physics.Quadrupole)
    outputs = evaluator(evaluator.check({"QUAD:K1": 4.0}))
    assert set(outputs) == {"matrix", "trace"}
    assert outputs["trace"] == pytest.approx(2 * np.cos(2.0 * 0.5))


def test_inputs_that_are_not_given_take_their_default() -> None:
    checked = Evaluator(physics.Quadrupole()).check({"slices": 4})
    assert checked == {"QUAD:K1": 1.0, "slices": 4, "XCOR.VAL": 0.0}


def test_whole_numbers_are_floats_where_the_variable_is_one() -> None:
    checked = Evaluator(physics.Quadrupole()).check({"QUAD:K1": 2, "slices": np.int64(3)})
    assert [type(value) for value in checked.values()] == [float, int, float]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"QUAD:K2": 1.0}, r"'QUAD:K2' is not an input .* did you mean 'QUAD:K1'\?"),
        ({"trace": 1.0}, "'trace' is an output of the model and cannot be set"),
        ({"QUAD:K1": 11.0}, r"QUAD:K1=11\.0 1/m\^2 is outside its range \[0\.1, 10\] 1/m\^2"),
        ({"QUAD:K1": float("nan")}, r"QUAD:K1=nan 1/m\^2 is outside its range"),
        ({"QUAD:K1": "strong"}, "QUAD:K1='strong'"),
        ({"slices": 1.5}, r"slices=1\.5"),
    ],
)
def test_a_wrong_input_is_named_with_its_value(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Evaluator(physics.Quadrupole()).check(inputs)


def test_an_object_with_evaluate_and_lists_of_variables() -> None:
    evaluator = Evaluator(physics.Surrogate())
    assert evaluator(evaluator.check({"x": 0.5})) == {"y": 0.25}
    with pytest.raises(InvalidInputError, match="outside its range"):
        evaluator.check({"x": 2.0})


def test_a_function_takes_what_it_is_given() -> None:
    evaluator = Evaluator(functions.thin_lens)
    assert evaluator(evaluator.check({"f": 2.0, "x": 1.0}))["xp"] == -0.5


def test_an_action_model_without_defaults_keeps_what_it_holds() -> None:
    evaluator = Evaluator(physics.Magnet)
    assert evaluator.check({}) == {"current": 3.0}
    assert evaluator(evaluator.check({"current": 5.0})) == {"field": 10.0}
    assert evaluator(evaluator.check({})) == {"field": 6.0}


def test_all_stages_of_a_staged_model_follow_a_change_of_the_first() -> None:
    evaluator = Evaluator(physics.linac())
    assert evaluator(evaluator.check({"gun_factor": 3.0, "linac_factor": 2.0})) == {
        "gun_out": 3.0,
        "linac_out": 6.0,
    }


def test_an_evaluation_does_not_depend_on_the_one_before() -> None:
    evaluator = Evaluator(physics.Quadrupole())
    first = evaluator(evaluator.check({}))
    evaluator(evaluator.check({"QUAD:K1": 9.0}))
    assert evaluator(evaluator.check({}))["trace"] == first["trace"]


def test_the_schema_is_plain_data() -> None:
    schema = Evaluator(physics.Quadrupole()).schema()
    assert schema["QUAD:K1"]["unit"] == "1/m^2"
    assert schema["QUAD:K1"]["value_range"] == [0.1, 10.0]
    assert schema["matrix"]["read_only"] is True
    assert schema["matrix"]["shape"] == [2, 2]


@pytest.mark.parametrize("wrong", [42, {"x": 1}, "model"])
def test_what_is_no_model_is_refused(wrong: Any) -> None:
    with pytest.raises(ModelLoadError, match="is not a model"):
        Evaluator(wrong)


def test_a_model_that_returns_no_dictionary_is_told_so() -> None:
    with pytest.raises(ModelFailedError, match="returned float, not a dictionary"):
        Evaluator(lambda inputs: 1.0)({})


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (physics.Quadrupole, "tests.models.physics:Quadrupole"),
        (functions.thin_lens, "tests.models.functions:thin_lens"),
        (physics.LINAC, "tests.models.physics:LINAC"),
        (physics.Quadrupole(), None),
        (lambda inputs: inputs, None),
    ],
    ids=["class", "function", "instance in a module", "instance", "lambda"],
)
def test_where_another_process_finds_it(model: Any, expected: str | None) -> None:
    assert entry_point_of(model) == expected
    if expected is not None:
        assert load_entry_point(expected) is model


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("no_such_package.physics:Model", "no_such_package.physics:Model cannot be imported"),
        ("tests.models.physics:Gone", "has no 'Gone' any more"),
    ],
)
def test_what_cannot_be_loaded_says_why(entry_point: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        load_entry_point(entry_point)
