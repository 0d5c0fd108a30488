"""Python values as HDF5 groups and datasets.

What HDF5 does not tell apart says an attribute of the group or dataset, ``lume_kind``. Groups and
datasets without it, those of other programs, read as dicts and arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lume_services.errors import SerializationError
from lume_services.files._hdf5_arrays import decode_name, encode_name, read_array, write_array
from lume_services.files._hdf5_frames import read_frame, read_series, write_frame, write_series

if TYPE_CHECKING:
    import h5py

__all__ = ["is_group", "is_particle_group", "read", "read_particles", "write", "write_particles"]

_KIND = "lume_kind"

_SCALARS: dict[str, type] = {kind.__name__: kind for kind in (bool, int, float, complex, str)}
_ARRAY_DTYPES: dict[type, Any] = {
    bool: np.bool_,
    int: np.int64,
    float: np.float64,
    complex: np.complex128,
    str: object,
}
_INT64 = range(-(2**63), 2**63)


def is_particle_group(value: object) -> bool:
    """Whether it is a ``beamphysics.ParticleGroup``."""
    return _is_a(value, "beamphysics.particles", "ParticleGroup")


def is_group(value: object) -> bool:
    """Whether it becomes an HDF5 group, and so may be a file of its own."""
    return isinstance(value, Mapping) or _is_frame(value) or _is_series(value)


def write(group: h5py.Group, value: Any, path: str = "") -> None:
    """Write a dict, list, tuple, frame, series or particle group into an empty group.

    Args:
        group: The group.
        value: What to write.
        path: Where it stands in the whole, for messages.

    Raises:
        SerializationError: Something in it cannot be written; the message says where.
    """
    if isinstance(value, Mapping):
        group.attrs[_KIND] = "dict"
        for key, item in value.items():
            _write_item(group, encode_name(key, path), item, f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        group.attrs[_KIND] = "tuple" if isinstance(value, tuple) else "list"
        for index, item in enumerate(value):
            _write_item(group, str(index), item, f"{path}/{index}")
    elif _is_frame(value):
        group.attrs[_KIND] = "frame"
        write_frame(group, value, path)
    elif _is_series(value):
        group.attrs[_KIND] = "series"
        write_series(group, value, path)
    else:
        group.attrs[_KIND] = "particlegroup"
        write_particles(group, value, path)


def read(item: h5py.Group | h5py.Dataset, above: tuple[Any, ...] = ()) -> Any:
    """Read what ``write`` wrote, or the groups and datasets of another program.

    Args:
        item: The group or dataset.
        above: Addresses of the groups it is in, so that links in a circle are noticed.

    Raises:
        SerializationError: It cannot be read.
    """
    import h5py

    if isinstance(item, h5py.Dataset):
        return _read_dataset(item)
    kind = str(item.attrs.get(_KIND, ""))
    if kind == "frame":
        return read_frame(item)
    if kind == "series":
        return read_series(item)
    if kind == "particlegroup":
        return read_particles(item)
    address = h5py.h5o.get_info(item.id).addr
    if address in above:
        raise SerializationError(f"The group {item.name} of the file contains itself.")
    # A link that leads nowhere gives None; a named type is no value.
    values = {
        name: read(child, (*above, address))
        for name, child in ((name, item.get(name)) for name in item)
        if isinstance(child, (h5py.Group, h5py.Dataset))
    }
    if kind == "dict":
        return {decode_name(name): value for name, value in values.items()}
    if kind in ("list", "tuple"):
        items = [values[str(index)] for index in range(len(values))]
        return tuple(items) if kind == "tuple" else items
    return values


def write_particles(group: h5py.Group, particles: Any, path: str = "") -> None:
    """Write a particle group as an openPMD series into an empty group or file.

    Raises:
        SerializationError: It cannot be written: it holds no particles, for one.
    """
    from beamphysics.writers import pmd_init

    try:
        pmd_init(group, basePath="/", particlesPath="particles")
        particles.write(group.create_group("particles"))
    except (LookupError, TypeError, ValueError) as error:
        raise SerializationError(
            f"{path or '/'}: the particle group of {len(particles)} particles cannot be written: "
            f"{error}."
        ) from error


def read_particles(group: h5py.Group) -> Any:
    """Read the one particle group of an openPMD series, wherever in a file the series is.

    Raises:
        SerializationError: It holds none or several, or not what openPMD requires.
    """
    from beamphysics import ParticleGroup
    from beamphysics.particles import load_bunch_data
    from beamphysics.readers import particle_paths

    try:
        (path,) = particle_paths(group)
        return ParticleGroup(data=load_bunch_data(group[path.strip("/")]))
    except Exception as error:
        raise SerializationError(
            f"The file does not hold one particle group that can be read: "
            f"{type(error).__name__}: {error}."
        ) from error


def _write_item(parent: h5py.Group, name: str, value: Any, path: str) -> None:
    import h5py

    if isinstance(value, np.ndarray):
        dataset = write_array(parent, name, value, path)
        if value.ndim == 0:
            dataset.attrs[_KIND] = "array"
    elif isinstance(value, np.generic):
        write_array(parent, name, np.asarray(value), path)
    elif value is None:
        parent.create_dataset(name, data=h5py.Empty("u1")).attrs[_KIND] = "none"
    elif isinstance(value, (bool, int, float, complex, str)):
        _write_scalar(parent, name, value, path)
    elif isinstance(value, bytes):
        data = np.frombuffer(value, dtype=np.uint8)
        write_array(parent, name, data, path).attrs[_KIND] = "bytes"
    elif isinstance(value, (list, tuple)) and (array := _as_array(value)) is not None:
        dataset = write_array(parent, name, array, path)
        dataset.attrs[_KIND] = "tuple" if isinstance(value, tuple) else "list"
    elif isinstance(value, (list, tuple)) or is_group(value) or is_particle_group(value):
        write(parent.create_group(name, track_order=True), value, path)
    else:
        raise SerializationError(
            f"{path}: a {type(value).__module__}.{type(value).__qualname__} cannot be stored in "
            "HDF5. Convert it to an array, number, string, dict or DataFrame."
        )


def _write_scalar(parent: h5py.Group, name: str, value: Any, path: str) -> None:
    kind = next(kind for kind in _ARRAY_DTYPES if isinstance(value, kind))
    # An int that HDF5 has no type for is written in digits.
    stored = str(value) if kind is str or (kind is int and value not in _INT64) else value
    dtype = object if isinstance(stored, str) else _ARRAY_DTYPES[kind]
    dataset = write_array(parent, name, np.array(stored, dtype=dtype), path)
    dataset.attrs[_KIND] = kind.__name__


def _as_array(values: list[Any] | tuple[Any, ...]) -> np.ndarray[Any, Any] | None:
    """The items as one array, when they are all of one plain type; otherwise None."""
    kinds = {type(value) for value in values}
    if len(kinds) != 1 or (kind := kinds.pop()) not in _ARRAY_DTYPES:
        return None
    if kind is int and not all(value in _INT64 for value in values):
        return None
    return np.array(values, dtype=_ARRAY_DTYPES[kind])


def _read_dataset(dataset: h5py.Dataset) -> Any:
    kind = str(dataset.attrs.get(_KIND, ""))
    if dataset.shape is None:
        return None
    array = read_array(dataset)
    if kind in _SCALARS:
        return _SCALARS[kind](array[()])
    if kind == "bytes":
        return array.tobytes()
    if kind == "list":
        return array.tolist()
    if kind == "tuple":
        return tuple(array.tolist())
    return array[()] if array.ndim == 0 and kind != "array" else array


def _is_frame(value: object) -> bool:
    return _is_a(value, "pandas", "DataFrame")


def _is_series(value: object) -> bool:
    return _is_a(value, "pandas", "Series")


def _is_a(value: object, module: str, name: str) -> bool:
    # An object of a class that has not been imported cannot exist.
    imported = sys.modules.get(module)
    return imported is not None and isinstance(value, getattr(imported, name))
