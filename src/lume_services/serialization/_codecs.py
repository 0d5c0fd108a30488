"""The table of types that are stored as tagged documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lume_services import plugins
from lume_services.errors import SerializationError, UnknownPluginError
from lume_services.serialization._arrays import NDArrayCodec
from lume_services.serialization._beams import ParticleGroupCodec
from lume_services.serialization._blobs import GetBlob, PutBlob
from lume_services.serialization._tables import FrameCodec, SeriesCodec
from lume_services.serialization._tensors import TensorCodec

__all__ = ["Codec", "codec_for", "codec_of_kind", "register"]


class Codec(Protocol):
    """How values of one type are stored.

    Another package registers its codec where it defines the type, and names it in an entry point
    of group ``lume_services.values`` under its kind, so that it is found when only the stored
    document is there.
    """

    @property
    def kind(self) -> str:
        """The tag, ``%kind`` in documents."""

    def matches(self, value: object) -> bool:
        """Whether this codec stores the value. Must be quick and import nothing."""

    def encode(self, value: Any, put_blob: PutBlob) -> Mapping[str, Any]:
        """The fields of the tagged document.

        A field that is a buffer is kept inline or as a blob, whichever its length asks for;
        ``put_blob`` is for what is to be a blob in any case.

        Raises:
            SerializationError: This value cannot be stored.
        """

    def decode(self, document: Mapping[str, Any], get_blob: GetBlob | None) -> Any:
        """The value again, from the same fields; buffers have been loaded already.

        The document may have been written by anybody: check it. Any exception becomes a
        ``SerializationError``.
        """


_codecs: dict[str, Codec] = {}


def register(codec: Codec) -> None:
    """Let :func:`~lume_services.serialization.encode` store a further type.

    Args:
        codec: Replaces the one of the same kind, if there is one.
    """
    _codecs[codec.kind] = codec


def codec_for(value: object) -> Codec | None:
    """The codec that stores a value, or None."""
    for codec in _codecs.values():
        if codec.matches(value):
            return codec
    return None


def codec_of_kind(kind: object) -> Codec:
    """The codec that wrote a tagged document, imported if need be.

    Raises:
        SerializationError: No such kind is known here.
        MissingDependencyError: It is known, and a package that it needs is not installed.
    """
    if not isinstance(kind, str):
        raise SerializationError(f"{kind!r:.200} is not a kind of value.")
    if kind not in _codecs:
        try:
            register(plugins.load(plugins.VALUES, kind, variable="%kind"))
        except UnknownPluginError as error:
            raise SerializationError(
                f"A stored value is of kind {kind!r:.200}, which is not known here. Install the "
                "package that stored it."
            ) from error
    return _codecs[kind]


for _codec in (NDArrayCodec(), FrameCodec(), SeriesCodec(), ParticleGroupCodec(), TensorCodec()):
    register(_codec)
