"""The file types that come with LUME-services."""

from __future__ import annotations

import base64
import html

from lume_services.files.file import File
from lume_services.files.hdf5 import HDF5Serializer
from lume_services.files.serializers import (
    ImageSerializer,
    TextSerializer,
    YAMLSerializer,
    thumbnail,
)

__all__ = ["HDF5File", "ImageFile", "TextFile", "YAMLFile"]

_THUMBNAIL = (320, 320)


class TextFile(File):
    """A ``str``, in UTF-8. Line ends are kept as they are."""

    serializer = TextSerializer()


class YAMLFile(File):
    """Dicts, lists, strings, numbers, booleans, dates and None, as YAML.

    Read with YAML's safe loader: a file cannot make it construct other objects.
    """

    serializer = YAMLSerializer()


class HDF5File(File):
    """Arrays and the like, in HDF5. What was written reads back as the same type.

    - A dict whose values are arrays (of every dtype that HDF5 holds, also of text and dates),
      numbers, strings, bytes, None, lists, data frames, particle groups, and such dicts again
      (HDF5 groups).
    - A pandas ``DataFrame`` or ``Series``.
    - A ``beamphysics.ParticleGroup``, in the openPMD layout that other openPMD tools read.
    - An object of a class derived from ``lume.base.Base``, by its own ``archive`` method.

    Any other HDF5 file reads as a dict of its datasets; an openPMD file that holds one particle
    group and nothing else, as a ``ParticleGroup``. Files whose contents are stored in further
    files are refused.
    """

    serializer = HDF5Serializer()


class ImageFile(File):
    """An image: PNG, JPEG, TIFF, BMP, GIF or WebP, by the ending of the filename.

    Writes a Pillow image, an array of shape (height, width) or (height, width, 3 or 4), or a
    matplotlib figure. Reads a Pillow image.
    """

    serializer = ImageSerializer()

    def _repr_html_(self) -> str:
        """Name and, once written or loaded, a thumbnail, for notebooks."""
        caption = html.escape(f"{self.filename} ({self.filesystem_identifier})")
        if self.obj is None:
            return f"<code>ImageFile {caption}</code>"
        data = base64.b64encode(thumbnail(self.obj, _THUMBNAIL)).decode()
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">'
            f"<figcaption><code>{caption}</code></figcaption></figure>"
        )
