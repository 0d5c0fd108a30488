"""How text, YAML and images are written to files and read back.

Each class follows ``lume.serializers.base.SerializerBase``: ``serialize(filename, object)`` and
``deserialize(filename)``.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lume_services.errors import SerializationError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageSerializer", "TextSerializer", "YAMLSerializer"]


class TextSerializer:
    """A ``str`` as UTF-8, line ends as they are."""

    def serialize(self, filename: str, text: str) -> None:
        """Write the text.

        Raises:
            SerializationError: It is not a string, or holds half a surrogate pair.
        """
        if not isinstance(text, str):
            raise SerializationError(f"A text file holds a str, not a {type(text).__name__}.")
        try:
            Path(filename).write_bytes(text.encode())
        except UnicodeEncodeError as error:
            raise SerializationError(f"The text cannot be written as UTF-8: {error}.") from error

    def deserialize(self, filename: str) -> str:
        """Read the text.

        Raises:
            SerializationError: The file is not UTF-8.
        """
        try:
            return Path(filename).read_bytes().decode()
        except UnicodeDecodeError as error:
            raise SerializationError(f"The file is not text in UTF-8: {error}.") from error


class YAMLSerializer:
    """Plain values as YAML, read with the safe loader only."""

    def serialize(self, filename: str, value: Any) -> None:
        """Write the value; the order of keys is kept.

        Raises:
            SerializationError: It holds something that is not a plain value.
        """
        import yaml

        try:
            text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
        except yaml.YAMLError as error:
            raise SerializationError(
                f"YAML files hold dicts, lists, strings, numbers, booleans, dates and None only: "
                f"{error}. Convert arrays with .tolist(), or use HDF5File."
            ) from error
        TextSerializer().serialize(filename, text)

    def deserialize(self, filename: str) -> Any:
        """Read the value.

        Raises:
            SerializationError: The file is not YAML, or holds other objects than plain values.
        """
        import yaml

        try:
            return yaml.safe_load(Path(filename).read_bytes())
        except (yaml.YAMLError, ValueError) as error:
            raise SerializationError(f"The file is not plain YAML: {error}.") from error


class ImageSerializer:
    """Images by Pillow, in the format that the ending of the filename says."""

    # Of Pillow's formats those that it both reads and writes by itself: to read EPS, for one, it
    # starts another program on the file.
    formats: ClassVar = {
        ".png": "PNG",
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".bmp": "BMP",
        ".gif": "GIF",
        ".webp": "WEBP",
    }

    def serialize(self, filename: str, picture: Any) -> None:
        """Write a Pillow image, an array or a matplotlib figure.

        Args:
            filename: Its ending decides the format.
            picture: An array is of shape (height, width), or (height, width, 3 or 4) for RGB and
                RGBA with 8 bits; grey values may have more bits where the format takes them.

        Raises:
            SerializationError: It is not a picture, or the format cannot hold it.
        """
        suffix = Path(filename).suffix.lower()
        if suffix not in self.formats:
            raise SerializationError(
                f"The filename of an image ends in one of {', '.join(self.formats)}, "
                f"not in {suffix!r}."
            )
        image = self.to_image(picture)
        if _is_figure(picture) and self.formats[suffix] == "JPEG":
            image = image.convert("RGB")
        try:
            image.save(filename, self.formats[suffix])
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk, not the picture
            raise SerializationError(
                f"An image of mode {image.mode} and size {image.size} cannot be written as "
                f"{self.formats[suffix]}: {error}."
            ) from error

    def deserialize(self, filename: str) -> Image:
        """Read an image; of several frames the first.

        Raises:
            SerializationError: The file is not an image in one of the formats.
        """
        from PIL import Image

        try:
            with Image.open(filename, formats=sorted(set(self.formats.values()))) as image:
                image.load()
                return image
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SerializationError(
                f"The file is not an image that can be read, of the formats "
                f"{', '.join(sorted(set(self.formats.values())))}."
            ) from error

    @staticmethod
    def to_image(picture: Any) -> Image:
        """A picture, of whatever kind can be written, as a Pillow image.

        Raises:
            SerializationError: It is not a picture.
        """
        from PIL import Image

        if isinstance(picture, Image.Image):
            return picture
        if _is_figure(picture):
            buffer = BytesIO()
            picture.savefig(buffer, format="png")
            return Image.open(buffer, formats=["PNG"])
        if isinstance(picture, np.ndarray):
            try:
                return Image.fromarray(picture)
            except (TypeError, ValueError) as error:
                raise SerializationError(
                    f"An array of dtype {picture.dtype} and shape {picture.shape} is not an image. "
                    "Give (height, width) or (height, width, 3 or 4), and uint8 for colours."
                ) from error
        raise SerializationError(
            f"An image file holds a Pillow image, an array or a matplotlib figure, not a "
            f"{type(picture).__name__}."
        )


def thumbnail(picture: Any, size: tuple[int, int]) -> bytes:
    """A small PNG of a picture, for notebooks; grey values of more than 8 bits are scaled.

    Args:
        picture: Anything that ``ImageSerializer`` writes.
        size: Largest width and height in pixels.
    """
    from PIL import Image

    image = ImageSerializer.to_image(picture).copy()
    image.thumbnail(size)
    if image.mode.startswith(("I", "F")):
        grey = np.asarray(image, dtype=float)
        span = np.ptp(grey) or 1.0
        image = Image.fromarray(((grey - grey.min()) * (255 / span)).astype(np.uint8))
    buffer = BytesIO()
    image.convert("RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def _is_figure(picture: Any) -> bool:
    figures = sys.modules.get("matplotlib.figure")
    return figures is not None and isinstance(picture, figures.Figure)
