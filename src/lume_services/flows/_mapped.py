"""Parameters of a flow that come from what a task of another flow returned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag

from lume_services.files import File
from lume_services.tasks import load_db_result

__all__ = [
    "AnyMappedParameter",
    "DBMappedParameter",
    "FileMappedParameter",
    "MappedParameter",
    "RawMappedParameter",
]


class MappedParameter(BaseModel, ABC):
    """Where the value of a parameter comes from.

    Attributes:
        parent_flow_name: The flow that is run before.
        parent_task_name: The task of it whose value is taken; of several runs, their list.
        parent_project_name: The project of that flow, if it should be checked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parent_flow_name: str
    parent_task_name: str
    parent_project_name: str | None = None

    @abstractmethod
    def value_of(self, returned: Any) -> Any:
        """The parameter's value, given what the task returned."""


class RawMappedParameter(MappedParameter):
    """The value itself."""

    map_type: Literal["raw"] = "raw"

    def value_of(self, returned: Any) -> Any:
        """What the task returned."""
        return returned


class FileMappedParameter(MappedParameter):
    """The record of a file, from a task such as ``save_file``; the flow loads it."""

    map_type: Literal["file"] = "file"

    def value_of(self, returned: Any) -> Any:
        """What the task returned.

        Raises:
            ValueError: It is not the record of a file.
        """
        if not isinstance(returned, Mapping) or not File.model_fields.keys() - {"obj"} <= set(
            returned
        ):
            raise ValueError(f"{returned!r} is not the record of a file")
        return returned


class DBMappedParameter(MappedParameter):
    """A value in a stored result, from a task such as ``save_db_result``; it is loaded first.

    Attributes:
        attribute: The field of the result, such as ``outputs``.
        attribute_index: Keys and indices into it, one after the other.
    """

    map_type: Literal["db"] = "db"
    attribute: str
    attribute_index: list[str | int] = []

    def value_of(self, returned: Any) -> Any:
        """The value in the result that the task stored.

        Raises:
            ResultNotFoundError: The result is not there.
            InvalidInputError: It has no such value.
            ValueError: The task did not return what finds a result.
        """
        if not isinstance(returned, Mapping) or "result_type_string" not in returned:
            raise ValueError(f"{returned!r} is not the representation of a stored result")
        return load_db_result.fn(returned, [self.attribute, *self.attribute_index])


def _map_type(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get("map_type", "raw")
    return getattr(value, "map_type", None)


AnyMappedParameter = Annotated[
    Annotated[RawMappedParameter, Tag("raw")]
    | Annotated[FileMappedParameter, Tag("file")]
    | Annotated[DBMappedParameter, Tag("db")],
    Discriminator(_map_type),
]
"""A mapped parameter of the kind that ``map_type`` names; raw when it is not given."""
