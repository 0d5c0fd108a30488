"""HDF5 files of dicts, data frames, particle groups and lume-base objects.

The layout of dicts and frames is our own: plain HDF5, so that any HDF5 tool shows groups, datasets
and columns under their names, with an attribute ``lume_kind`` where HDF5 alone does not say which
Python type is meant. Particle groups (https://github.com/openPMD/openPMD-standard, extension
BeamPhysics) and lume-base objects are written by their own libraries.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from lume_services.errors import SerializationError
from lume_services.files import _hdf5_tree as tree

if TYPE_CHECKING:
    import h5py

__all__ = ["HDF5Serializer"]


class HDF5Serializer:
    """Writes and reads what ``HDF5File`` holds."""

    def serialize(self, filename: str, value: Any) -> None:
        """Write a dict, a frame, a series, a particle group or a lume-base object.

        Raises:
            SerializationError: It is, or holds, something else; the message says where.
            OSError: The file cannot be written.
        """
        import h5py

        if _is_lume_object(value):
            _write_lume_object(filename, value)
            return
        try:
            with h5py.File(filename, "w", track_order=True) as h5:
                if tree.is_particle_group(value):
                    tree.write_particles(h5, value)
                elif tree.is_group(value):
                    tree.write(h5, value)
                else:
                    raise SerializationError(
                        f"An HDF5 file holds a dict, DataFrame, Series, ParticleGroup or lume-base "
                        f"object, not a {type(value).__name__}. Put it into a dict, under a name."
                    )
        except RecursionError as error:
            raise SerializationError("The value contains itself, or is nested too deep.") from error
        except RuntimeError as error:
            # So h5py reports that the disk is full.
            raise OSError(str(error)) from error

    def deserialize(self, filename: str) -> Any:
        """Read back what was written, or the datasets of any other HDF5 file as a dict.

        Raises:
            SerializationError: It is not an HDF5 file, cannot be read back here, is damaged, or
                refers to other files.
            OSError: The file cannot be opened.
        """
        with _opened(filename) as h5:
            try:
                _refuse_what_is_not_data(h5)
                if "object" in h5.attrs and "_version" in h5.attrs:
                    kind = _lume_class(str(h5.attrs["object"]))
                elif _is_openpmd_particles(h5):
                    return tree.read_particles(h5)
                else:
                    return tree.read(h5)
            except SerializationError:
                raise
            except Exception as error:  # of every kind, when the file is damaged
                raise SerializationError(
                    f"The HDF5 file cannot be read: {type(error).__name__}: {error}."
                ) from error
        return _read_lume_object(filename, kind)


def _opened(filename: str) -> h5py.File:
    import h5py

    try:
        return h5py.File(filename, "r")
    except OSError as error:
        if error.errno is not None:
            raise  # the disk, not what is in the file
        raise SerializationError(f"The file is not HDF5, or is damaged: {error}.") from error


def _refuse_what_is_not_data(h5: h5py.File) -> None:
    """Refuse files that make reading them do more than read them.

    Parts may be kept in other files, which need not be on this filesystem. And a type may tell
    h5py to take bytes of the file for the addresses of Python objects.

    Raises:
        SerializationError: There is such a part.
    """
    import h5py

    # h5py goes on until something is returned.
    def in_link(name: str, link: object) -> str | None:
        return f"{name!r} is in another file" if isinstance(link, h5py.ExternalLink) else None

    def in_item(name: str, item: Any) -> str | None:
        types = [item.attrs.get_id(attribute).dtype for attribute in item.attrs]
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                return f"{name!r} is in another file"
            types.append(item.dtype)
        return f"{name!r} holds objects of Python" if any(map(_holds_objects, types)) else None

    problem = h5.visititems_links(in_link) or in_item("/", h5) or h5.visititems(in_item)
    if problem is not None:
        raise SerializationError(f"The HDF5 file is not read: {problem}.")


def _holds_objects(dtype: Any) -> bool:
    import h5py

    if h5py.check_opaque_dtype(dtype):
        return dtype.kind not in "mM"
    if dtype.fields is not None:
        return any(_holds_objects(field[0]) for field in dtype.fields.values())
    inner = h5py.check_vlen_dtype(dtype) or dtype.base  # of text, the vlen type is str itself
    return isinstance(inner, np.dtype) and inner is not dtype and _holds_objects(inner)


def _is_openpmd_particles(h5: h5py.File) -> bool:
    """Whether it is an openPMD file of particles that holds nothing beside them."""
    if "openPMD" not in h5.attrs or "particlesPath" not in h5.attrs:
        return False
    paths = [h5.attrs["basePath"], h5.attrs["particlesPath"]]
    text = "/".join(path.decode() if isinstance(path, bytes) else str(path) for path in paths)
    return list(h5) == text.strip("/.").split("/")[:1]


# lume-base objects


def _is_lume_object(value: object) -> bool:
    base = sys.modules.get("lume.base")
    return base is not None and isinstance(value, base.Base)


def _write_lume_object(filename: str, value: Any) -> None:
    from lume.serializers.hdf5 import HDF5Serializer as LumeSerializer

    kind = type(value)
    name = f"{kind.__module__}.{kind.__name__}"
    if _lume_class(name) is not kind:
        raise SerializationError(f"{kind.__qualname__} could not be read back: it is not {name}.")
    package = kind.__module__.partition(".")[0]
    if not hasattr(sys.modules[package], "__version__"):
        raise SerializationError(
            f"lume-base records the version of the package that {kind.__name__} comes from, and "
            f"{package!r} has no __version__. Define one."
        )
    LumeSerializer().serialize(filename, value)


def _read_lume_object(filename: str, kind: type) -> Any:
    from lume.serializers.hdf5 import HDF5Serializer as LumeSerializer

    value = LumeSerializer.deserialize(filename)
    if type(value) is not kind:
        raise SerializationError(f"The file was to hold a {kind.__name__}, and does not.")
    return value


def _lume_class(name: str) -> type:
    """The class of that name, only if it is derived from ``lume.base.Base`` and known here.

    lume-base's own serializer would import and call whatever the file names.
    """
    from lume.base import Base

    module, _, attribute = name.rpartition(".")
    kind = getattr(sys.modules.get(module), attribute, None)
    if kind is None:
        raise SerializationError(
            f"The file holds a {name}, which is not known here: import {module or 'its module'} "
            "first. A file does not make this process import anything."
        )
    if not (isinstance(kind, type) and issubclass(kind, Base)):
        raise SerializationError(f"{name} is not a class derived from lume.base.Base.")
    return kind
