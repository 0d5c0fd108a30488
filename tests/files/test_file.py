"""References to files: their records, and finding the type again."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import ValidationError

from lume_services.config import configure
from lume_services.errors import (
    FilesystemNotFoundError,
    InvalidInputError,
    MissingFileError,
    SerializationError,
)
from lume_services.files import (
    FILE_CODEC,
    File,
    HDF5File,
    ImageFile,
    TextFile,
    YAMLFile,
    get_file_from_serializer_string,
)
from lume_services.serialization import canonical_hash, decode, encode
from lume_services.services.files import FileService
from lume_services.services.files.filesystems import LocalFilesystem, MountedFilesystem

SHIPPED = [HDF5File, ImageFile, TextFile, YAMLFile]


@pytest.fixture
def service(tmp_path):
    return FileService(
        [LocalFilesystem(), MountedFilesystem(mount_path=tmp_path, mount_alias="/lume-test-alias")]
    )


def test_write_read_load(tmp_path, service):
    file = TextFile(filename=tmp_path / "sub/a.txt", obj="text")
    file.write(service=service)
    assert (tmp_path / "sub/a.txt").read_text() == "text"

    again = TextFile(filename=str(tmp_path / "sub/a.txt"))
    assert again.read(service=service) == "text"
    assert again.obj is None, "read keeps nothing"
    assert again.load_file(service=service) == "text"
    assert again.obj == "text"


def test_the_configured_service_is_the_default(tmp_path):
    configure()
    file = TextFile(filename=tmp_path / "a.txt")
    file.write("text")
    assert file.obj == "text"
    assert file.read() == file.load_file() == "text"


@pytest.mark.parametrize("empty", ["", {}, [], 0, False])
def test_empty_objects_are_written_too(tmp_path, service, empty):
    file = YAMLFile(filename=tmp_path / "a.yml", obj=empty)
    file.write(service=service)
    assert file.read(service) == empty


def test_nothing_to_write(tmp_path, service):
    with pytest.raises(SerializationError, match=r"a\.txt.*give obj"):
        TextFile(filename=tmp_path / "a.txt").write(service=service)


def test_folders_are_made_unless_told_not_to(tmp_path, service):
    with pytest.raises(MissingFileError, match="create_dir=True"):
        TextFile(filename=tmp_path / "x/a.txt").write("1", service, create_dir=False)
    TextFile(filename=tmp_path / "x/a.txt").write("1", service)


def test_unknown_filesystem(service):
    with pytest.raises(FilesystemNotFoundError, match="local, mounted"):
        TextFile(filename="a.txt", filesystem_identifier="s3").read(service)


# Records


@pytest.mark.parametrize("file_type", SHIPPED)
def test_record(file_type):
    file = file_type(filename="runs/a.h5", filesystem_identifier="mounted", obj="not in the record")
    record = file.jsonable_dict()
    assert record == {
        "filename": "runs/a.h5",
        "file_type_string": f"lume_services.files:{file_type.__name__}",
        "filesystem_identifier": "mounted",
    }
    assert get_file_from_serializer_string(record["file_type_string"]) is file_type
    assert file_type(**record) == File.from_record(record) == file
    assert type(File.from_record(record)) is file_type
    assert "not in the record" not in repr(file)


def test_a_record_means_the_same_file_in_another_working_folder(tmp_path, monkeypatch):
    service = FileService([LocalFilesystem(tmp_path / "root")])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    file = TextFile(filename="notes/a.txt", obj="1")
    file.write(service=service)
    monkeypatch.chdir(tmp_path / "two")
    assert (tmp_path / "root/notes/a.txt").read_text() == "1"
    assert File.from_record(file.jsonable_dict()).read(service) == "1"


def test_files_with_relative_names_are_kept_under_home(lume_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configure()
    TextFile(filename="notes/a.txt", obj="1").write()
    TextFile(filename=tmp_path / "b.txt", obj="2").write()
    assert (lume_home / "files/notes/a.txt").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_a_record_of_a_mounted_file_reloads_inside_a_job(tmp_path):
    alias = tmp_path / "seen by jobs"
    path = tmp_path / "home/data"
    host = FileService([MountedFilesystem(mount_path=path, mount_alias=alias)])
    file = TextFile(filename=path / "a.txt", filesystem_identifier="mounted")
    file.write("1", host)
    path.rename(alias)
    path.parent.rmdir()
    job = FileService([MountedFilesystem(mount_path=path, mount_alias=alias)])
    assert File.from_record(file.jsonable_dict()).read(job) == "1"


def test_a_reference_does_not_change():
    file = TextFile(filename="a.txt")
    with pytest.raises(ValidationError):
        file.filename = "b.txt"


def test_references_are_equal_by_record():
    one, two = TextFile(filename="a.txt", obj="1"), TextFile(filename=Path("a.txt"))
    assert one == two
    assert len({one, two}) == 1
    assert one != YAMLFile(filename="a.txt")
    assert one != "a.txt"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"filename": ""}, {"filename": "a", "filesystem_identifer": "mounted"}, {"filename": 1}],
)
def test_wrong_arguments(arguments):
    with pytest.raises(InvalidInputError, match=r"TextFile cannot be made: filename|filesystem_"):
        TextFile(**arguments)


def test_a_record_of_another_type_is_refused():
    record = YAMLFile(filename="a.yml").jsonable_dict()
    with pytest.raises(InvalidInputError, match="record of a lume_services"):
        TextFile(**record)


@pytest.mark.parametrize("wrong", [{"filename": 1}, {"owner": "Ada"}, {1: "a"}], ids=str)
def test_what_is_not_a_record_is_refused(wrong):
    record = TextFile(filename="a.txt").jsonable_dict()
    with pytest.raises(SerializationError, match="not the record of a file"):
        File.from_record(record | wrong)
    document = encode(TextFile(filename="a.txt")) | {"filename": ""}
    with pytest.raises(SerializationError, match="not the record of a file"):
        decode(document)


def test_file_itself_has_no_type():
    with pytest.raises(InvalidInputError, match="use TextFile"):
        File(filename="a.txt")


@pytest.mark.parametrize("file_type", SHIPPED)
def test_records_of_former_releases(file_type):
    name = file_type.__name__.removesuffix("File")
    former = f"lume_services.files.file:File[{name}Serializer]"
    assert get_file_from_serializer_string(former) is file_type
    assert file_type(filename="a", file_type_string=former) == file_type(filename="a")


# Types of users

MODULE = """
from pathlib import Path
from lume_services.files import File

class Serializer:
    def serialize(self, filename, value):
        Path(filename).write_text(",".join(map(str, value)))

    def deserialize(self, filename):
        return [float(number) for number in Path(filename).read_text().split(",")]

class NumbersFile(File):
    serializer = Serializer()

class Other:
    pass
"""


@pytest.fixture
def own_types(tmp_path, monkeypatch):
    """A module with a file type, which this process has not imported."""
    name = f"lume_own_types_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_own_file_type(tmp_path, own_types, service, python):
    script = f"""
        from {own_types} import NumbersFile
        from lume_services.config import configure
        configure()
        file = NumbersFile(filename={str(tmp_path / "numbers.csv")!r})
        file.write([1, 2.5])
        print(file.jsonable_dict()["file_type_string"])
    """
    output = subprocess.run(
        [python, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert output == f"{own_types}:NumbersFile"

    record = {
        "filename": str(tmp_path / "numbers.csv"),
        "file_type_string": output,
        "filesystem_identifier": "local",
    }
    with pytest.raises(SerializationError, match=r"import the module.*'lume_services\.files'"):
        File.from_record(record)
    assert own_types not in sys.modules
    get_file_from_serializer_string(record["file_type_string"])  # named by the user's own code
    file = File.from_record(record)
    assert type(file).__name__ == "NumbersFile"
    assert file.read(service) == [1.0, 2.5]


def test_a_file_type_that_an_installed_package_announces(tmp_path, own_types, service):
    metadata = tmp_path / f"{own_types}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {own_types}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[lume_services.files]\nnumbers = {own_types}:NumbersFile\n"
    )
    (tmp_path / "a.csv").write_text("1,2")
    file = decode(numbers_document(tmp_path, own_types))
    assert own_types not in sys.modules
    assert file.read(service) == [1.0, 2.0]
    assert type(File.from_record(file.jsonable_dict())).__name__ == "NumbersFile"


@pytest.mark.parametrize("name", ["Other", "Missing", "Serializer", "File"])
def test_only_file_types_are_given(own_types, name):
    with pytest.raises(SerializationError, match="not a file type"):
        get_file_from_serializer_string(f"{own_types}:{name}")


@pytest.mark.parametrize(
    "name", ["os:system", "builtins:eval", "no_such_module:File", "", ":", "a b:c", "..x:y", "os"]
)
def test_other_names_are_refused(name):
    with pytest.raises(SerializationError):
        get_file_from_serializer_string(name)


def test_a_type_defined_in_a_function_is_known_in_this_process(tmp_path, service):
    class Shouting:
        def serialize(self, filename, text):
            Path(filename).write_text(text.upper())

        def deserialize(self, filename):
            return Path(filename).read_text()

    class ShoutingFile(TextFile):
        serializer = Shouting()

    file = ShoutingFile(filename=tmp_path / "a.txt")
    file.write("hello", service)
    assert type(File.from_record(file.jsonable_dict())) is ShoutingFile
    assert file.read(service) == "HELLO"


def test_a_type_needs_a_serializer():
    with pytest.raises(TypeError, match="NoSerializerFile needs a serializer"):

        class NoSerializerFile(File):
            pass

    with pytest.raises(TypeError, match="ClassFile needs a serializer"):

        class ClassFile(File):
            serializer = dict


def test_serializers_of_lume_base_fit(tmp_path, service):
    from lume.serializers.base import SerializerBase

    class LumeText(SerializerBase):
        def serialize(self, filename, text):
            Path(filename).write_text(text)

        @classmethod
        def deserialize(cls, filename):
            return Path(filename).read_text()

    class LumeTextFile(File):
        serializer = LumeText()

    file = LumeTextFile(filename=tmp_path / "a.txt")
    file.write("text", service)
    assert file.read(service) == "text"


# Inside results


@pytest.mark.parametrize("file_type", SHIPPED)
def test_references_are_stored_as_records(file_type):
    file = file_type(filename="a.h5", filesystem_identifier="mounted", obj={"not": "stored"})
    document = encode({"archive": file, "more": [file]})
    assert document["archive"] == {"%kind": "file", **file.jsonable_dict()}
    value = decode(document)
    assert value == {"archive": file, "more": [file]}
    assert type(value["archive"]) is file_type
    assert value["archive"].obj is None
    assert canonical_hash(document) == canonical_hash(encode(value))


def test_the_codec_is_found_by_a_process_that_has_not_imported_it(python):
    script = """
        import sys
        from lume_services.serialization import decode
        assert "lume_services.files" not in sys.modules
        print(decode({"%kind": "file", "filename": "a.txt", "filesystem_identifier": "mounted",
                      "file_type_string": "lume_services.files:TextFile"}))
    """
    output = subprocess.run(
        [python, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    ).stdout
    assert "filename='a.txt'" in output


def numbers_document(folder, module):
    return {
        "%kind": "file",
        "filename": str(folder / "a.csv"),
        "file_type_string": f"{module}:NumbersFile",
        "filesystem_identifier": "local",
    }


def test_neither_decoding_nor_reading_imports_what_a_document_names(tmp_path, own_types, service):
    (tmp_path / "a.csv").write_text("1,2")
    document = numbers_document(tmp_path, own_types)
    file = decode(document)
    assert encode(file) == document
    with pytest.raises(SerializationError, match=r"import the module.*'lume_services\.files'"):
        file.read(service)
    assert own_types not in sys.modules
    import_module(own_types)
    assert file.read(service) == [1.0, 2.0]


@pytest.mark.parametrize(
    "document",
    [
        {"%kind": "file"},
        {"%kind": "file", "filename": "a", "file_type_string": "x:Y", "filesystem_identifier": 1},
        {
            "%kind": "file",
            "filename": b"a",
            "file_type_string": ["x"],
            "filesystem_identifier": "local",
        },
    ],
)
def test_a_damaged_record(document):
    with pytest.raises(SerializationError):
        decode(document)


def test_codec_is_registered_by_name():
    from lume_services import plugins

    assert plugins.load(plugins.VALUES, "file", variable="%kind") is FILE_CODEC
