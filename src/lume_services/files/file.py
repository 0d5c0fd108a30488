"""``File``: a reference to a file of a known type on a known filesystem."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lume_services import plugins
from lume_services._invalid import described
from lume_services.context import context
from lume_services.errors import InvalidInputError, SerializationError
from lume_services.services.files.filesystems import LocalFilesystem, Serializer

if TYPE_CHECKING:
    from lume_services.services.files import FileService

__all__ = ["File", "get_file_from_serializer_string", "known_file_type"]

_TYPES: dict[str, type[File]] = {}

# What releases before 1.0 recorded.
_FORMER_NAMES = {
    f"lume_services.files.file:File[{name}Serializer]": f"lume_services.files:{name}File"
    for name in ("Text", "HDF5", "Image", "YAML")
}


class File(BaseModel):
    """A reference to a file, and, once written or loaded, the object in it.

    Use one of the subclasses, or make your own by giving it a serializer::

        class ParameterFile(File):
            serializer = ParameterSerializer()     # serialize(filename, obj), deserialize(filename)

    The *record* of a file (``jsonable_dict()``) is what results store: ``filename``,
    ``file_type_string`` and ``filesystem_identifier``, never the contents. Two references with the
    same record are equal.

    A relative filename starts at the root of its filesystem, which for ``local`` is
    ``LUME_HOME/files``, so that the record means the same file from every working folder.

    Raises:
        InvalidInputError: A field is missing, unknown or wrong.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    filename: str = Field(min_length=1, frozen=True)
    """Path of the file on its filesystem."""
    file_type_string: str = Field(default="", frozen=True)
    """Name of the file type, ``module:Class``; filled in."""
    filesystem_identifier: str = Field(default=LocalFilesystem.identifier, frozen=True)
    """Which of the configured filesystems it is on."""
    obj: Any = Field(default=None, exclude=True, repr=False)
    """The object to write, or the one that was loaded; not part of the record."""

    serializer: ClassVar[Serializer]
    """How objects of this type are written and read."""

    # Type checkers see the fields as arguments.
    if not TYPE_CHECKING:

        def __init__(self, /, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise InvalidInputError(
                    f"{type(self).__name__} cannot be made: {described(error)}"
                ) from error

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Make the new type known by its name."""
        super().__pydantic_init_subclass__(**kwargs)
        if isinstance(getattr(cls, "serializer", type), type):
            raise TypeError(
                f"The file type {cls.__name__} needs a serializer: set the class attribute "
                "serializer to an object with serialize(filename, obj) and deserialize(filename)."
            )
        _TYPES[_name(cls)] = cls

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> File:
        """Make the reference, of the type that the record names.

        A record does not make this process import anything: the type is one that is imported or
        defined here, or that an installed package announces by an entry point of group
        ``lume_services.files``.

        Args:
            record: What ``jsonable_dict`` returned.

        Raises:
            SerializationError: No such file type is known here, or it is not the record of a file.
        """
        file_type = _recorded_file_type(str(record.get("file_type_string", "")))
        try:
            return file_type(**record)
        except (InvalidInputError, TypeError) as error:
            raise SerializationError(f"This is not the record of a file: {error}") from error

    def write(
        self, obj: Any = None, service: FileService | None = None, create_dir: bool = True
    ) -> None:
        """Write the object, atomically: a reader sees the old file or the new one.

        Args:
            obj: The object; the one that this reference was made with when not given.
            service: The file service; that of ``lume_services.config.context`` when not given.
            create_dir: Make the folder, and those above it, when missing.

        Raises:
            SerializationError: There is no object, or this file type cannot hold it.
            MissingFileError: The folder does not exist and ``create_dir`` is false.
            FilesystemError: The file cannot be written.
            FilesystemNotFoundError: No such filesystem is configured.
        """
        if obj is not None:
            self.obj = obj
        if self.obj is None:
            raise SerializationError(f"There is no object to write to {self.filename!r}: give obj.")
        _service(service).write(
            self.filesystem_identifier, self.filename, self.obj, self._serializer, create_dir
        )

    def read(self, service: FileService | None = None) -> Any:
        """Read the object, and keep nothing of it.

        Args:
            service: The file service; that of ``lume_services.config.context`` when not given.

        Raises:
            SerializationError: The file does not hold what this file type reads, or the type that
                a stored reference names is not known here.
            MissingFileError: There is no such file.
            FilesystemError: The file cannot be read.
            FilesystemNotFoundError: No such filesystem is configured.
        """
        return _service(service).read(self.filesystem_identifier, self.filename, self._serializer)

    def load_file(self, service: FileService | None = None) -> Any:
        """Read the object, keep it as ``obj`` and return it. Raises what ``read`` does."""
        self.obj = self.read(service)
        return self.obj

    def jsonable_dict(self) -> dict[str, str]:
        """The record: ``filename``, ``file_type_string``, ``filesystem_identifier``."""
        return self.model_dump(mode="json")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and self.jsonable_dict() == other.jsonable_dict()

    def __hash__(self) -> int:
        return hash(tuple(self.jsonable_dict().values()))

    @property
    def _serializer(self) -> Serializer:
        # A plain File stands for a type that was not known here when its record was decoded.
        if type(self) is File:
            return _recorded_file_type(self.file_type_string).serializer
        return self.serializer

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        values["file_type_string"] = cls._checked_type(values.get("file_type_string"))
        filename = values.get("filename")
        if isinstance(filename, os.PathLike):
            values["filename"] = os.fspath(filename)
        return values

    @classmethod
    def _checked_type(cls, recorded: str | None) -> str:
        recorded = _FORMER_NAMES.get(recorded or "", recorded)
        if cls is File:
            if not recorded:
                raise ValueError(
                    "File itself has no file type: use TextFile, HDF5File, ImageFile, "
                    "YAMLFile, or a subclass of your own."
                )
            return recorded
        if recorded not in (None, _name(cls)):
            raise ValueError(f"This is the record of a {recorded}, not of a {_name(cls)}.")
        return _name(cls)


def known_file_type(file_type_string: str) -> type[File]:
    """The file type of that name if this process has imported it; ``File`` otherwise."""
    return _TYPES.get(_FORMER_NAMES.get(file_type_string, file_type_string), File)


def _recorded_file_type(file_type_string: str) -> type[File]:
    """The file type that a record names, known here or announced by an installed package."""
    file_type = known_file_type(file_type_string)
    if file_type is File:
        plugins.load_announced(plugins.FILE_TYPES, file_type_string)
        file_type = known_file_type(file_type_string)
    if file_type is File:
        raise SerializationError(
            f"The file type {file_type_string!r:.200} is not known here. A record does not make "
            "this process import anything: import the module that defines the type first, or have "
            f"its package announce it by an entry point of group {plugins.FILE_TYPES!r}."
        )
    return file_type


def get_file_from_serializer_string(file_type_string: str) -> type[File]:
    """The file type of that name.

    It is for names from your own code: a type that this process has not imported yet is looked for
    in the module that the name begins with, and importing that runs what is in it.

    Args:
        file_type_string: ``module:Class``, as records hold it.

    Raises:
        SerializationError: It does not name a subclass of ``File``.
    """
    file_type = known_file_type(file_type_string)
    if file_type is not File:
        return file_type
    module = file_type_string.partition(":")[0]
    try:
        import_module(module)
    except Exception as error:
        raise SerializationError(
            f"The file type {file_type_string!r} is not known here: importing {module!r} failed "
            f"with {type(error).__name__}: {error}."
        ) from error
    file_type = known_file_type(file_type_string)
    if file_type is File:
        raise SerializationError(
            f"{file_type_string!r} is not a file type. Known here: {', '.join(sorted(_TYPES))}. "
            "What a notebook or script defines is known to that process only; define it in a "
            "module."
        )
    return file_type


def _name(file_type: type[File]) -> str:
    # The types of this package go by their public path, so that records outlive its inner layout.
    module, _, _ = file_type.__module__.partition(".files.")
    if module == "lume_services":
        return f"lume_services.files:{file_type.__qualname__}"
    return f"{file_type.__module__}:{file_type.__qualname__}"


def _service(service: FileService | None) -> FileService:
    return context.file_service() if service is None else service
