"""Particle distributions in openPMD's HDF5 format (BeamPhysics extension), made in memory.

Format: https://github.com/openPMD/openPMD-standard, as read and written by openpmd-beamphysics.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lume_services.errors import SerializationError

if TYPE_CHECKING:
    from lume_services.serialization._blobs import GetBlob, PutBlob

__all__ = ["ParticleGroupCodec"]


class ParticleGroupCodec:
    """``beamphysics.ParticleGroup``; every coordinate comes back bit for bit."""

    kind = "particlegroup"

    def matches(self, value: object) -> bool:
        """See ``Codec``."""
        beamphysics = sys.modules.get("beamphysics")
        return beamphysics is not None and isinstance(
            value, getattr(beamphysics, "ParticleGroup", ())
        )

    def encode(self, value: Any, put_blob: PutBlob) -> Mapping[str, Any]:
        """See ``Codec``."""
        import h5py

        if not len(value):
            raise SerializationError(
                "a ParticleGroup without particles has no species, and openPMD cannot hold it. "
                "Store None, or the number of particles."
            )
        memory = io.BytesIO()
        with h5py.File(memory, "w") as file:
            value.write(file)
        return {"data": memory.getbuffer()}

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> Any:
        """See ``Codec``."""
        import h5py
        from beamphysics import ParticleGroup

        with h5py.File(io.BytesIO(document["data"]), "r") as file:
            return ParticleGroup(h5=file)
