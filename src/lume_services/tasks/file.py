"""Tasks that write and read files through the file service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lume_services.files import File
from lume_services.services.files import FileService
from lume_services.tasks._made import MadeTask

__all__ = ["LoadFile", "SaveFile", "load_file", "save_file"]


def _save_file(
    obj: Any,
    filename: str | None = None,
    filesystem_identifier: str = "local",
    file_type: type[File] | None = None,
    file_service: FileService | None = None,
) -> dict[str, str]:
    """Write an object to a file.

    Args:
        obj: The object; or a ``File`` that holds it, and then nothing else is needed.
        filename: Path of the file on its filesystem.
        filesystem_identifier: Which of the configured filesystems.
        file_type: What writes it: ``TextFile``, ``HDF5File``, ``ImageFile``, ``YAMLFile`` or a
            subclass of ``File`` of your own.
        file_service: The file service; that of the context when not given.

    Returns:
        The file's record: ``filename``, ``file_type_string`` and ``filesystem_identifier``.
    """
    if isinstance(obj, File):
        file = obj
    elif filename is None or file_type is None:
        raise TypeError("save_file needs a File, or an object with filename and file_type.")
    else:
        file = file_type(obj=obj, filename=filename, filesystem_identifier=filesystem_identifier)
    file.write(service=file_service)
    return file.jsonable_dict()


def _load_file(file_rep: Mapping[str, Any], file_service: FileService | None = None) -> Any:
    """Read the object that a file holds.

    Args:
        file_rep: The file's record, as ``save_file`` returns it.
        file_service: The file service; that of the context when not given.

    Returns:
        The object.
    """
    return File.from_record(file_rep).read(service=file_service)


class SaveFile(MadeTask):
    """A task that writes an object to a file; called as ``save_file``."""

    function = staticmethod(_save_file)


class LoadFile(MadeTask):
    """A task that reads an object from a file; called as ``load_file``."""

    function = staticmethod(_load_file)


save_file = SaveFile()
"""Write an object to a file and return the file's record."""

load_file = LoadFile()
"""Read the object that a file holds, given the file's record."""
