"""Arrays come out of pickles; nothing else does, and nothing in them is run."""

from __future__ import annotations

import contextlib
import pickle
import pickletools
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lume_services.errors import SerializationError
from lume_services.results.legacy import array_from_pickle
from tests.results.originals import pickled

ARRAYS: dict[str, Any] = {
    "float": np.arange(6.0).reshape(2, 3),
    "nan": np.array([np.nan, -np.inf, -0.0, 5e-324]),
    "fortran": np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3)),
    "big-endian": np.arange(6, dtype=">f4").reshape(3, 2),
    "axes permuted": np.arange(24, dtype=">i2").reshape(2, 3, 4).transpose(1, 2, 0),
    "every third": np.arange(20)[::3],
    "12 dimensions": np.ones((1, 2) * 6, "u1"),
    "empty": np.zeros((0, 3), ">f8"),
    "no dimension": np.array(5.5),
    "bool": np.array([[True], [False]]),
    "half": np.ones(3, "f2"),
    "complex": np.array([1 + 2j], ">c8"),
    "text": np.array(["ab", "é", "\U0001f600"], ">U3"),
    "bytes": np.array([b"ab", b"c"]),
    "dates": np.array(["2022-11-03", "NaT"], "M8[5ns]"),
    "dates in days": np.array(["2022-11-03"], "M8[D]"),
    "durations": np.array([7], "m8"),
    "read-only": np.broadcast_to(np.float64(2.5), (2, 2)),
    "a scalar": np.float32(1.5),
    "a date": np.datetime64("2022-11-03T17:05", "s"),
    "large": np.arange(200_000.0),
}


@pytest.mark.parametrize("numpy", [1, 2])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_come_back_bit_by_bit(array: Any, protocol: int, numpy: int) -> None:
    data = pickled(array, protocol, numpy)
    assert (b"numpy._core" in data) == (numpy == 2)
    loaded = array_from_pickle(data)
    assert type(loaded) is type(array)
    assert loaded.dtype == array.dtype
    assert loaded.shape == array.shape
    assert loaded.tobytes() == array.tobytes()


REFUSED: dict[str, tuple[Any, str]] = {
    "objects": (np.array([1, "a", None], object), "objects"),
    "records": (np.zeros(2, [("x", "f8")]), "records"),
    "extended precision": (np.zeros(2, np.longdouble), "dtype"),
    "masked": (np.ma.masked_array([1.0], [True]), "numpy.ma"),
    "a list": ([1, 2], "EMPTY_LIST"),
    "a number": (7, "int"),
    "a text": ("abc", "str"),
    "a tuple of arrays": ((np.ones(1), np.ones(1)), "tuple"),
    "a dtype": (np.dtype("f8"), "_DType"),
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize(("value", "why"), REFUSED.values(), ids=REFUSED)
def test_other_things_are_refused(value: Any, why: str, protocol: int) -> None:
    with pytest.raises(SerializationError, match=why):
        array_from_pickle(pickle.dumps(value, protocol))


def text(value: str) -> bytes:
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def hostile(folder: Path) -> dict[str, bytes]:
    """Pickles that leave a file in the folder when they are loaded, by every way there is."""
    mark = folder / "executed"
    shell = f"touch {mark}"
    python = f"open({str(mark)!r}, 'w').close()"

    def call(module, name, *arguments):
        begin = b"\x80\x02c" + f"{module}\n{name}\n(".encode()
        return begin + b"".join(map(text, arguments)) + b"tR."

    stacked = b"\x80\x04" + text("os") + text("system") + b"\x93(" + text(shell) + b"tR."
    dotted = (
        b"\x80\x04" + text("numpy") + text("testing.measure") + b"\x93(" + text(python) + b"tR."
    )
    system = b"cos\nsystem\n"
    state = b"}" + text("x") + b"K\x01s"
    array = pickled(np.ones(3))
    return {
        "os.system": call("os", "system", shell),
        "posix.system": call("posix", "system", shell),
        "subprocess": call("subprocess", "getoutput", shell),
        "eval": call("builtins", "eval", python),
        "exec": call("builtins", "exec", python),
        "python 2's eval": call("__builtin__", "eval", python),
        "import": call("builtins", "__import__", "antigravity"),
        "numpy's runstring": call("numpy.testing._private.utils", "runstring", python),
        "numpy's measure": call("numpy.testing", "measure", python),
        "numpy.f2py": call("numpy.f2py", "compile", shell),
        "numpy.distutils": call("numpy.distutils.exec_command", "exec_command", shell),
        "numpy.load": call("numpy", "load", str(mark)),
        "numpy's pickle": call("numpy.core.multiarray", "pickle.loads", "x"),
        "numpy's os": call("numpy", "os.system", shell),
        "numpy's eval": call("numpy.core.numeric", "sys.modules", "x"),
        "pandas": call("pandas", "read_pickle", str(mark)),
        "a class": b"\x80\x02(ios\nsystem\n.",
        "INST": b"(" + text(shell) + b"ios\nsystem\n.",
        "OBJ": b"(" + system + text(shell) + b"o.",
        "NEWOBJ": b"\x80\x02" + system + text(shell) + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04" + system + text(shell) + b"\x85}\x92.",
        "STACK_GLOBAL": stacked,
        "STACK_GLOBAL with dots": dotted,
        "STACK_GLOBAL of numbers": b"\x80\x04K\x01K\x02\x93.",
        "getattr chain": call("builtins", "getattr", "os", "system"),
        "operator": call("operator", "attrgetter", "system"),
        "functools": call("functools", "partial", "os"),
        "copyreg": call("copyreg", "_reconstructor", "x", "y", "z"),
        "copy_reg": call("copy_reg", "__newobj__", "x"),
        "extension registry": b"\x80\x02\x82\x01.",
        "extension registry, 2 bytes": b"\x80\x02\x83\x01\x01.",
        "persistent id": b"Pid\n.",
        "binary persistent id": b"\x80\x02" + text("id") + b"Q.",
        "BUILD on a name": b"\x80\x02cnumpy\nndarray\n" + state + b"b.",
        "BUILD on a number": b"\x80\x02K\x01" + state + b"b.",
        "BUILD with slots": b"\x80\x02cnumpy\ndtype\nN" + state + b"\x86b.",
        "REDUCE of a number": b"\x80\x02K\x01)R.",
        "REDUCE of ndarray": b"\x80\x02cnumpy\nndarray\n(K\xfftR.",
        "reconstruct a class": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(" + system + b"K\x00tR."
        ),
        "encode with a codec": b"\x80\x02c_codecs\nencode\n(" + text("x") + text("zip") + b"tR.",
        "a call after an array": array[:-1] + call("os", "system", shell)[2:],
        "a call before an array": call("os", "system", shell)[:-1] + b"0" + array[2:],
        "a call inside an array": array.replace(b"c_codecs\nencode", b"cos\nsystem"),
        "ndarray replaced": array.replace(b"cnumpy\nndarray", b"cos\nsystem"),
        "dtype replaced": array.replace(b"cnumpy\ndtype", b"cos\nsystem"),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile(Path("/nowhere")))
def test_a_hostile_pickle_executes_nothing(name: str, tmp_path: Path) -> None:
    data = hostile(tmp_path)[name]
    with pytest.raises(SerializationError) as refusal:
        array_from_pickle(data)
    assert not list(tmp_path.iterdir()), "it was executed"
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_these_pickles_are_hostile_indeed(tmp_path: Path) -> None:
    """What is refused above would have run."""
    ran = 0
    for name in ("os.system", "eval", "numpy's measure", "OBJ", "STACK_GLOBAL", "dtype replaced"):
        with contextlib.suppress(Exception):  # after it has run, it may fail
            pickle.loads(hostile(tmp_path)[name])
        ran += (tmp_path / "executed").exists()
        (tmp_path / "executed").unlink(missing_ok=True)
    assert ran >= 4


MEMOIZED = b"\x80\x02" + text("x" * 1_000_000) + b"q\x000"
HUGE = b"J\xff\xff\xff\x7f"
BOMBS = {
    "bytes of a terabyte": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "a bytearray of a terabyte": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "a text of a terabyte": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "a frame of a terabyte": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b".",
    "a memo of gigabytes": b"\x80\x02K\x01r\xff\xff\xff\xff.",
    "tuples of tuples": b"\x80\x02K\x01" + b"q\x00h\x00\x86" * 60 + b".",
    "a long number": b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b".",
    "a number of many digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "many instructions": b"\x80\x02" + b"K\x01" * 1_000_000 + b".",
    "text encoded over and over": (
        b"\x80\x02c_codecs\nencode\nq\x01" + text("x" * 1_000_000) + b"q\x02" + text("latin1")
        + b"q\x03" + b"h\x01h\x02h\x03\x86R" * 30 + b"."
    ),
    "an empty array, very wide": pickled(np.zeros((0, 3))).replace(b"K\x03\x86", HUGE + b"\x86"),
    "a wide array of few bytes": pickled(np.zeros((1, 3))).replace(b"K\x03\x86", HUGE + b"\x86"),
    "text of no length": pickled(np.array(["a"])).replace(b"U1", b"U0"),
    "a negative shape": pickled(np.zeros((1, 3))).replace(b"K\x03\x86", b"J\xff\xff\xff\xff\x86"),
    "nothing": b"",
    "no end": pickled(np.ones(3))[:-1],
}  # fmt: skip


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_a_bomb_takes_neither_memory_nor_time(data: bytes) -> None:
    tracemalloc.start()
    try:
        loaded = array_from_pickle(data)
    except SerializationError:
        pass
    else:
        assert loaded.nbytes == 0
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000


OPCODES = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
NAMES = [
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy.core.numeric _frombuffer",
    "_codecs encode",
    "os system",
]
_parts = st.one_of(
    st.sampled_from(OPCODES),
    st.sampled_from(NAMES).map(lambda name: "c{}\n{}\n".format(*name.split()).encode()),
    st.sampled_from([b"K\x00", b"K\x01", b"h\x00", b"q\x00"]),
    st.sampled_from(["f8", "<", "latin1", "C", "F", "K", "O", "U0"]).map(text),
    st.binary(max_size=8),
)


@given(st.lists(_parts, max_size=40).map(b"".join))
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_any_bytes_give_an_array_or_one_error(data: bytes) -> None:
    try:
        loaded = array_from_pickle(data)
    except SerializationError:
        return
    assert isinstance(loaded, (np.ndarray, np.generic))


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from([2, 3, 4, 5]))
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_a_damaged_pickle_gives_an_array_or_one_error(place: int, byte: int, protocol: int) -> None:
    data = bytearray(pickled(np.arange(6.0).reshape(2, 3), protocol))
    data[place % len(data)] = byte
    test_any_bytes_give_an_array_or_one_error.hypothesis.inner_test(bytes(data))  # of hypothesis
