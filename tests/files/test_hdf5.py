"""HDF5 files: what was written reads back as the same type, and what others wrote is readable."""

from __future__ import annotations

import datetime
import importlib
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from beamphysics import ParticleGroup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lume_services.errors import FilesystemError, LUMEServicesError, SerializationError
from lume_services.files import HDF5File
from lume_services.files.hdf5 import HDF5Serializer
from lume_services.services.files import FileService
from lume_services.services.files.filesystems import LocalFilesystem

SERVICE = FileService([LocalFilesystem()])


def round_trip(tmp_path, value):
    file = HDF5File(filename=tmp_path / "a.h5")
    file.write(value, SERVICE)
    return file.read(SERVICE)


def assert_same(one, two, path=""):
    """Equal, of the same types, in the same order, NaN equal to NaN."""
    assert type(one) is type(two), path
    if isinstance(one, dict):
        assert list(one) == list(two), path
        for key in one:
            assert_same(one[key], two[key], f"{path}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for index, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{path}/{index}")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (two.dtype, two.shape), path
        if one.dtype.kind == "O":
            assert one.tolist() == two.tolist(), path
        else:
            assert one.tobytes() == two.tobytes(), path
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, two)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, two)
    else:
        assert one == two or (one != one and two != two), path


def particles(count=5, seed=0):
    random = np.random.default_rng(seed)
    data = {name: random.normal(size=count) for name in ("x", "px", "y", "py", "z", "pz", "t")}
    data |= {"status": np.ones(count, int), "weight": random.random(count) * 1e-12}
    return ParticleGroup(data=data | {"species": "electron", "id": np.arange(count)})


# Values


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        0,
        -(2**63),
        2**63,
        10**40,
        1.5,
        -0.0,
        float("nan"),
        float("inf"),
        1 + 2j,
        "",
        "text µ 😀\n",
        b"",
        b"nul\0 and more",
        None,
        np.float32(1.5),
        np.int8(-1),
        np.bool_(True),
        np.complex64(1j),
        np.str_("text"),
        np.bytes_(b"bytes"),
        np.datetime64("2026-01-02T03:04:05", "ms"),
        [],
        [1, 2],
        [1.0, 2.0],
        [True, False],
        ["a", "b", ""],
        [1j],
        [1, 2.0, "three", None, [4, {"five": 6}]],
        [2**70, 1],
        [[1, 2], [3, 4]],
        (),
        (1, 2),
        (1, "a"),
        {},
        {"a": {"b": {"c": 1}}},
    ],
    ids=repr,
)
def test_values(tmp_path, value):
    assert_same({"value": value}, round_trip(tmp_path, {"value": value}))


DTYPES = "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 g c8 c16 S5 U5 >U5 V7 M8[ns] M8[D] m8[us] >i4 >f8 >c16"


@pytest.mark.parametrize("dtype", DTYPES.split())
@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 2), (2, 3)])
def test_array_dtypes(tmp_path, dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).astype("i8").reshape(shape)
    array = array.astype("S5").astype(dtype) if dtype == "V7" else array.astype(dtype)
    assert_same({"array": array}, round_trip(tmp_path, {"array": array}))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(20.0)[::3],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([("a", 1.0)], dtype=[("name", "S3"), ("value", "f8")]),
        np.array(["QF1", None][:1] * 2, dtype=object),
        np.array([np.nan, -np.nan, -0.0, np.inf]),
    ],
)
def test_particular_arrays(tmp_path, array):
    assert_same({"array": array}, round_trip(tmp_path, {"array": array}))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.complex_numbers()
        | st.binary()
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
        | hnp.arrays(
            hnp.scalar_dtypes().filter(lambda dtype: dtype.kind != "M" or dtype.str[4:]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        ),
        lambda items: (
            st.lists(items, max_size=4)
            | st.lists(items, max_size=4).map(tuple)
            | st.dictionaries(
                st.text(
                    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1
                ),
                items,
                max_size=4,
            )
        ),
        max_leaves=10,
    )
)
def test_any_value(tmp_path, value):
    assert_same({"value": value}, round_trip(tmp_path, {"value": value}))


def test_names(tmp_path):
    names = ["XCOR:LI21:1.VAL", "m/s", "50%", "%2F", ".", "..", "µ", " ", "%rest", "lume_kind", "/"]
    value = {name: {name: number} for number, name in enumerate(names)}
    assert_same(value, round_trip(tmp_path, value))
    with h5py.File(tmp_path / "a.h5") as h5:
        assert "XCOR:LI21:1.VAL" in h5, "names of process variables are readable"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": {"b": object()}}, "/a/b: a builtins.object"),
        ({"a": [1, {"c": {1, 2}}]}, "/a/1/c: a builtins.set"),
        ({"a": np.array([object()])}, "/a: an array of dtype object"),
        ({"a": np.ma.masked_array([1], [True])}, "/a: a masked array"),
        ({"a": {1: 2}}, "/a: the name 1"),
        ({"": 2}, "/: the name ''"),
        ({"a\0": 2}, "/: the name"),
        ({"a": "nul\0"}, "/a"),
        ({"a": "\ud800"}, "/a"),
        ({"a": datetime.datetime(2026, 1, 1)}, "/a: a datetime.datetime"),
        (np.ones(3), "Put it into a dict"),
        ([1, 2], "Put it into a dict"),
        (object(), "not a object"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, value, where):
    with pytest.raises(SerializationError) as raised:
        HDF5File(filename=tmp_path / "a.h5").write(value, SERVICE)
    assert where in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_contains_itself(tmp_path):
    value = {}
    value["itself"] = value
    with pytest.raises(SerializationError, match="contains itself"):
        round_trip(tmp_path, value)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    file = HDF5File(filename=tmp_path / "a.h5")
    file.write({"x": 1}, SERVICE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(FilesystemError, match=r"a\.h5.*File too large"):
            file.write({"x": np.ones(100_000)}, SERVICE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read(SERVICE) == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


# Frames

FRAMES = {
    "numbers": pd.DataFrame({"x": [1.0, np.nan], "n": np.array([1, 2], "i2"), "z": [1j, 2]}),
    "text": pd.DataFrame({"name": ["QF1", "QD1"], "objects": np.array(["a", "b"], dtype=object)}),
    "missing text": pd.DataFrame(
        {"a": ["x", None], "b": np.array(["x", None], dtype=object), "c": ["x\0", "y"]}
    ),
    "extension types": pd.DataFrame(
        {
            "category": pd.Categorical(["x", "y"], categories=["y", "x"], ordered=True),
            "zone": pd.date_range("2026", periods=2, tz="Europe/Paris"),
            "naive": pd.date_range("2026", periods=2),
            "nullable": pd.array([1, None], dtype="Int64"),
            "string": pd.array(["a", None], dtype="string"),
            "span": pd.to_timedelta([1, 2], unit="s"),
        }
    ),
    "mixed order": pd.DataFrame(
        {"a": [1, 2], "when": pd.date_range("2026", periods=2), "b": [1.0, 2.0], "who": ["x", "y"]}
    ),
    "named index": pd.DataFrame({"x": [1, 2]}, index=pd.Index([10, 20], name="turn")),
    "many indexes": pd.DataFrame(
        {"x": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["p", "q"])
    ),
    "names with signs": pd.DataFrame({"m/s": [1], "%": [2], "%rest": [3], ".": [4], "": [5]}),
    "numbered columns": pd.DataFrame(np.eye(2)),
    "several levels of columns": pd.DataFrame(
        np.eye(2), columns=pd.MultiIndex.from_product([["a"], ["x", "y"]])
    ),
    "named columns": pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], name="quantity")),
    "no columns": pd.DataFrame(index=pd.Index(["a", "b"])),
    "no rows": pd.DataFrame({"x": np.array([], float), "name": pd.Series([], dtype=str)}),
    "nothing": pd.DataFrame(),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(tmp_path, name):
    frame = FRAMES[name]
    assert_same(frame, round_trip(tmp_path, frame))
    assert_same({"in": {"a": frame}}, round_trip(tmp_path, {"in": {"a": frame}}))


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1.0, 2.0], name="x"),
        pd.Series(["a", "b"]),
        pd.Series([1, 2], index=["a", "b"], name=3),
        pd.Series(pd.Categorical(["a"]), name="category"),
        pd.Series(pd.date_range("2026", periods=2, tz="UTC"), name="t"),
        pd.Series([], dtype=float),
    ],
    ids=str,
)
def test_series(tmp_path, series):
    assert_same(series, round_trip(tmp_path, series))


def test_attributes_of_a_frame(tmp_path):
    frame = pd.DataFrame({"x": [1.0]})
    frame.attrs["lattice"] = "ESRF-EBS"
    assert round_trip(tmp_path, frame).attrs == {"lattice": "ESRF-EBS"}


def test_columns_are_readable_by_any_hdf5_tool(tmp_path):
    round_trip(tmp_path, pd.DataFrame({"name": ["QF1", "QD1"], "betax": [1.0, 2.0]}))
    with h5py.File(tmp_path / "a.h5") as h5:
        assert h5["betax"][()].tolist() == [1.0, 2.0]
        assert h5["name"].asstr()[()].tolist() == ["QF1", "QD1"]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1, 2]], columns=[("a", 1), 2]),
        pd.DataFrame({"a": [1, "text"]}),
        pd.DataFrame({"a": [object()]}),
        pd.DataFrame({"a": [[1, 2], [3]]}),
        pd.DataFrame({"a": [True, None]}),
    ],
)
def test_frames_that_cannot_be_written(tmp_path, frame):
    with pytest.raises(SerializationError, match="/beam"):
        round_trip(tmp_path, {"beam": frame})


# Particle groups


def test_particles_are_openpmd(tmp_path):
    beam = particles()
    assert round_trip(tmp_path, beam) == beam
    assert ParticleGroup(str(tmp_path / "a.h5")) == beam, "by the openPMD reader itself"
    with h5py.File(tmp_path / "a.h5") as h5:
        assert h5.attrs["openPMDextension"] == b"BeamPhysics;SpeciesType"


def test_particles_written_by_others(tmp_path):
    beam = particles()
    beam.write(str(tmp_path / "a.h5"))
    assert HDF5File(filename=tmp_path / "a.h5").read(SERVICE) == beam


@pytest.mark.filterwarnings("error::FutureWarning")
def test_particles_inside_a_dict(tmp_path):
    value = {"initial": particles(5), "final": particles(4, seed=1), "charge": 1e-9}
    again = round_trip(tmp_path, value)
    assert again == value
    assert type(again["final"]) is ParticleGroup


def test_no_particles(tmp_path):
    with pytest.raises(SerializationError, match="0 particles"):
        round_trip(tmp_path, particles()[:0])


# lume-base objects

MODULE = """
from lume.base import Base

__version__ = "1.2"

class Simulation(Base):
    def configure(self): pass
    def run(self): pass

    def archive(self, h5=None):
        h5["input"] = self.input

    def load_archive(self, h5, configure=True):
        self.input = h5["input"][()]

class Other:
    def __init__(self):
        raise AssertionError("this must not be called")
"""


@pytest.fixture
def lume_module(tmp_path, monkeypatch):
    name = f"lume_own_simulation_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module(name)


def test_lume_objects(tmp_path, lume_module):
    simulation = lume_module.Simulation()
    simulation.input = 3.5
    again = round_trip(tmp_path, simulation)
    assert type(again) is lume_module.Simulation
    assert again.input == 3.5
    assert lume_module.Simulation.from_hdf5(str(tmp_path / "a.h5")).input == 3.5


@pytest.mark.parametrize("name", ["Other", "Missing", "__version__"])
def test_only_lume_objects_are_made(tmp_path, lume_module, name):
    round_trip(tmp_path, _with_input(lume_module))
    with h5py.File(tmp_path / "a.h5", "a") as h5:
        h5.attrs["object"] = f"{lume_module.__name__}.{name}"
    with pytest.raises(SerializationError, match=name):
        HDF5File(filename=tmp_path / "a.h5").read(SERVICE)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "no_such_module.Simulation", "x"])
def test_nothing_else_is_called(tmp_path, lume_module, name):
    round_trip(tmp_path, _with_input(lume_module))
    with h5py.File(tmp_path / "a.h5", "a") as h5:
        h5.attrs["object"] = name
    with pytest.raises(SerializationError):
        HDF5File(filename=tmp_path / "a.h5").read(SERVICE)


def test_a_file_does_not_make_the_process_import_anything(tmp_path, lume_module):
    (tmp_path / "named_by_a_file.py").write_text("raise SystemExit('imported')")
    round_trip(tmp_path, _with_input(lume_module))
    with h5py.File(tmp_path / "a.h5", "a") as h5:
        h5.attrs["object"] = "named_by_a_file.Simulation"
    with pytest.raises(SerializationError, match="import named_by_a_file first"):
        HDF5File(filename=tmp_path / "a.h5").read(SERVICE)


def _with_input(lume_module):
    simulation = lume_module.Simulation()
    simulation.input = 1.0
    return simulation


def test_lume_objects_that_could_not_be_read_back(tmp_path, lume_module):
    class Local(lume_module.Simulation):
        pass

    with pytest.raises(SerializationError, match=r"not known here|not read back"):
        round_trip(tmp_path, Local())
    del lume_module.__version__
    with pytest.raises(SerializationError, match="__version__"):
        round_trip(tmp_path, _with_input(lume_module))


# Files of others


@pytest.fixture
def foreign(tmp_path):
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as h5:
        yield h5


def read_back(h5):
    name = h5.filename
    h5.close()
    return HDF5File(filename=name).read(SERVICE)


def test_other_files_read_as_their_datasets(foreign):
    foreign["group/array"] = np.arange(3, dtype="f4")
    foreign["group/text"] = "abc"
    foreign["group/texts"] = ["a", "b"]
    foreign["fixed"] = np.bytes_(b"abc")
    foreign["scalar"] = 2.5
    foreign["empty"] = h5py.Empty("f8")
    foreign["name%2F"] = 1
    foreign["type"] = np.dtype("f8")
    foreign["soft"] = h5py.SoftLink("/group/text")
    foreign["dangling"] = h5py.SoftLink("/nowhere")
    foreign.attrs["object"] = "not by lume-base"
    value = read_back(foreign)
    assert_same(
        value,
        {
            "empty": None,
            "fixed": np.bytes_(b"abc"),
            "group": {
                "array": np.arange(3, dtype="f4"),
                "text": "abc",
                "texts": np.array(["a", "b"], dtype=object),
            },
            "name%2F": np.int64(1),
            "scalar": np.float64(2.5),
            "soft": "abc",
        },
    )


def test_an_openpmd_file_with_more_than_particles_reads_whole(foreign):
    particles().write(foreign)
    foreign["stats/sigma_x"] = np.arange(3.0)
    value = read_back(foreign)
    assert list(value) == ["particles", "stats"]
    assert value["stats"]["sigma_x"].tolist() == [0.0, 1.0, 2.0]


def test_several_species_are_not_one_group(foreign):
    particles().write(foreign)
    foreign.copy("particles/electron", "particles/positron")
    with pytest.raises(SerializationError, match="one particle group"):
        read_back(foreign)


def test_contents_in_other_files_are_refused(tmp_path, foreign):
    (tmp_path / "secret").write_bytes(b"12345678")
    with h5py.File(tmp_path / "other.h5", "w") as h5:
        h5["data"] = 1
    foreign["a/link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "data")
    with pytest.raises(SerializationError, match="in another file"):
        read_back(foreign)


def test_raw_data_in_other_files_is_refused(tmp_path, foreign):
    (tmp_path / "secret").write_bytes(b"12345678")
    foreign.create_dataset(
        "a/raw", shape=(8,), dtype="u1", external=[(str(tmp_path / "secret"), 0, 8)]
    )
    with pytest.raises(SerializationError, match="in another file"):
        read_back(foreign)


def test_virtual_datasets_are_refused(tmp_path, foreign):
    layout = h5py.VirtualLayout(shape=(8,), dtype="u1")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "data", shape=(8,))
    foreign.create_virtual_dataset("a/virtual", layout)
    with pytest.raises(SerializationError, match="in another file"):
        read_back(foreign)


def _opaque(parent, kind, tag):
    """A dataset or attribute whose type says that its bytes are numpy values of this dtype."""
    opaque = h5py.h5t.create(h5py.h5t.OPAQUE, 8)
    opaque.set_tag(tag)
    space = h5py.h5s.create_simple((2,))
    data = np.frombuffer(b"A" * 16, "V8")
    if kind == "dataset":
        dataset = h5py.h5d.create(parent.id, b"x", opaque, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, data, opaque)
    else:
        h5py.h5a.create(parent.id, b"lume_kind", opaque, space).write(data, opaque)


@pytest.mark.parametrize("kind", ["dataset", "attribute"])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("tag", [b"NUMPY:|O", b"NUMPY:O8"])
def test_bytes_are_not_taken_for_objects(foreign, kind, inside, tag):
    """h5py would follow the addresses that such a file gives."""
    _opaque(foreign.create_group("a") if inside else foreign, kind, tag)
    with pytest.raises(SerializationError, match="objects of Python"):
        read_back(foreign)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_are_reported(tmp_path, seed):
    value = {"x": np.arange(50.0), "frame": FRAMES["text"], "beam": particles()}
    path = tmp_path / "a.h5"
    round_trip(tmp_path, value)
    random = np.random.default_rng(seed)
    path.write_bytes(path.read_bytes()[: random.integers(path.stat().st_size)])
    with pytest.raises(LUMEServicesError, match=r"a\.h5"):
        HDF5File(filename=path).read(SERVICE)


def test_links_in_a_circle(foreign):
    group = foreign.create_group("a/b")
    group["back"] = foreign["a"]
    with pytest.raises(SerializationError, match="contains itself"):
        read_back(foreign)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100])
def test_a_file_that_is_not_hdf5(tmp_path, content):
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(SerializationError, match=r"a\.h5.*not HDF5"):
        HDF5File(filename=tmp_path / "a.h5").read(SERVICE)


def test_a_file_that_was_cut_short(tmp_path):
    file = HDF5File(filename=tmp_path / "a.h5")
    file.write({"x": np.arange(10_000)}, SERVICE)
    os.truncate(tmp_path / "a.h5", 2_000)
    with pytest.raises(SerializationError, match=r"a\.h5.*damaged"):
        file.read(SERVICE)


def test_a_file_that_another_program_is_writing(tmp_path):
    code = f"import h5py; f = h5py.File({str(tmp_path / 'a.h5')!r}, 'w'); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        writer.stdout.readline()
        with pytest.raises(FilesystemError, match=r"a\.h5"):
            HDF5File(filename=tmp_path / "a.h5").read(SERVICE)
        writer.communicate("\n")


def test_serializer_alone(tmp_path):
    HDF5Serializer().serialize(str(tmp_path / "a.h5"), {"x": 1})
    assert HDF5Serializer().deserialize(str(tmp_path / "a.h5")) == {"x": 1}
