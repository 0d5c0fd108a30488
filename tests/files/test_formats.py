"""Text, YAML and images."""

from __future__ import annotations

import datetime
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from lume_services.errors import SerializationError
from lume_services.files import ImageFile, TextFile, YAMLFile
from lume_services.services.files import FileService
from lume_services.services.files.filesystems import LocalFilesystem

SERVICE = FileService([LocalFilesystem()])


@pytest.mark.parametrize("text", ["", "a\nb\r\nc\r", "µ → ∞ 😀", "nul\0", "\ufeffmark"])
def test_text_is_kept_exactly(tmp_path, text):
    file = TextFile(filename=tmp_path / "a.txt")
    file.write(text, SERVICE)
    assert file.read(SERVICE) == text


@pytest.mark.parametrize("wrong", [b"bytes", 1, ["a"], "\ud800"])
def test_what_is_not_text(tmp_path, wrong):
    with pytest.raises(SerializationError):
        TextFile(filename=tmp_path / "a.txt").write(wrong, SERVICE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(SerializationError, match="UTF-8"):
        TextFile(filename=tmp_path / "a.txt").read(SERVICE)


def test_yaml(tmp_path):
    value = {
        "XCOR:LI21:1.VAL": 1.5,
        "b": [1, None, True, "1e-3", "yes"],
        "text": "µ",
        "when": datetime.date(2026, 1, 2),
        "infinite": float("inf"),
    }
    file = YAMLFile(filename=tmp_path / "a.yml")
    file.write(value, SERVICE)
    assert file.read(SERVICE) == value
    assert list(file.read(SERVICE)) == list(value), "order of keys"
    assert yaml.safe_load((tmp_path / "a.yml").read_text()) == value


def test_yaml_holds_plain_values_only(tmp_path):
    with pytest.raises(SerializationError, match="HDF5File"):
        YAMLFile(filename=tmp_path / "a.yml").write({"x": np.ones(2)}, SERVICE)


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system ['echo']", "a: [", "!!python/name:os.system ''"]
)
def test_yaml_constructs_nothing(tmp_path, text):
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(SerializationError, match="not plain YAML"):
        YAMLFile(filename=tmp_path / "a.yml").read(SERVICE)


COLOURS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


@pytest.mark.parametrize("ending", ["png", "PNG", "tif", "tiff", "bmp", "webp"])
def test_images_by_ending(tmp_path, ending):
    file = ImageFile(filename=tmp_path / f"a.{ending}")
    file.write(Image.fromarray(COLOURS), SERVICE)
    image = file.read(SERVICE)
    assert isinstance(image, Image.Image)
    assert image.size == (5, 4)
    if ending != "webp":  # which loses some
        assert (np.asarray(image) == COLOURS).all()


@pytest.mark.parametrize(
    ("array", "ending"),
    [
        (COLOURS, "png"),
        (COLOURS[..., 0], "png"),
        (np.dstack([COLOURS, COLOURS[..., 0]]), "png"),
        (np.arange(6, dtype=np.uint16).reshape(2, 3) * 9999, "png"),
        (np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3), "tiff"),
        (COLOURS[::2, ::2, 0], "tiff"),
    ],
)
def test_arrays_as_images(tmp_path, array, ending):
    file = ImageFile(filename=tmp_path / f"a.{ending}")
    file.write(array, SERVICE)
    assert (np.asarray(file.read(SERVICE)) == array).all()


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_figure_as_an_image(tmp_path, ending):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([1, 2])
    file = ImageFile(filename=tmp_path / f"a.{ending}", obj=figure)
    file.write(service=SERVICE)
    assert file.read(SERVICE).size == (100, 50)
    assert "data:image/png" in file._repr_html_()


def test_an_image_outlives_its_file(tmp_path):
    file = ImageFile(filename=tmp_path / "a.png")
    file.write(COLOURS, SERVICE)
    image = file.read(SERVICE)
    (tmp_path / "a.png").unlink()
    assert image.getpixel((0, 0)) == (0, 1, 2)


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        (COLOURS, "a.eps"),
        (COLOURS, "a.pdf"),
        (COLOURS, "a"),
        ("text", "a.png"),
        (np.ones((2, 2, 7)), "a.png"),
        (np.ones(3, dtype=complex), "a.png"),
        (np.ones((2, 3), dtype=np.float32), "a.png"),
        (Image.new("RGBA", (2, 2)), "a.jpg"),
    ],
)
def test_what_is_no_image(tmp_path, picture, name):
    with pytest.raises(SerializationError):
        ImageFile(filename=tmp_path / name).write(picture, SERVICE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n"]
)
def test_a_file_that_is_no_image(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SerializationError, match="not an image"):
        ImageFile(filename=tmp_path / "a.png").read(SERVICE)


@pytest.mark.parametrize(
    "picture",
    [
        COLOURS,
        np.arange(6, dtype=np.uint16).reshape(2, 3),
        np.zeros((2, 3), dtype=np.float32),
        Image.new("CMYK", (2, 2)),
        Image.new("P", (2000, 10)),
        None,
    ],
)
def test_notebook_representation(picture):
    html = ImageFile(filename="<a>.png", filesystem_identifier="mounted", obj=picture)._repr_html_()
    assert "&lt;a&gt;.png (mounted)" in html
    assert ("data:image/png;base64," in html) == (picture is not None)
    assert len(html) < 10_000


def test_no_heavy_module_is_imported_for_references(python):
    import subprocess

    script = (
        "import sys, lume_services.files as f; f.TextFile(filename='a'); "
        "print(sorted(sys.modules.keys() & "
        "{'pandas', 'pyarrow', 'h5py', 'lume', 'beamphysics', 'PIL', 'matplotlib', 'yaml'}))"
    )
    output = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]", sys.version
