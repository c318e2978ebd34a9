"""Verification .bin files: what Python 2 and 3 wrote is read, and nothing else."""

import io
import os
import pickle
import pickletools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfr_kit.data.verification_sets.bins import read_bin, write_bin
from mfr_kit.errors import KitError

IMAGES, SAME = [b"one", b"", b"\xff\x00" * 200, b"four" * 20000], [True, False]


def save(tmp_path, content, protocol=pickle.HIGHEST_PROTOCOL):
    (tmp_path / "a.bin").write_bytes(
        content if isinstance(content, bytes) else pickle.dumps(content, protocol)
    )
    return tmp_path / "a.bin"


def opened(path):
    images, same = read_bin(path)
    return [bytes(image) for image in images], same


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", [tuple, list])
def test_pickles_of_bytes(tmp_path, protocol, container):
    assert opened(save(tmp_path, container((IMAGES, SAME)), protocol)) == (IMAGES, SAME)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "flags",
    [
        np.array,
        lambda same: [np.bool_(flag) for flag in same],
        lambda same: [int(flag) for flag in same],
    ],
)
def test_pickles_of_numpy_arrays(tmp_path, protocol, flags):
    arrays = [np.frombuffer(image, np.uint8) for image in IMAGES]
    assert opened(save(tmp_path, (arrays, flags(SAME)), protocol)) == (IMAGES, SAME)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_module_names_of_both_numpys(tmp_path, module):
    data = pickle.dumps(([np.frombuffer(image, np.uint8) for image in IMAGES], SAME), 2)
    data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray").replace(
        b"numpy.core.multiarray", module.encode()
    )
    assert opened(save(tmp_path, data)) == (IMAGES, SAME)


def test_a_pickle_of_python_2(tmp_path):
    """By hand, as Python 2.7's cPickle writes ([str, str, str, str], [True, False]) at protocol
    2.
    """
    strings = b"".join(
        b"T" + struct.pack("<i", len(image)) + image
        if len(image) > 255
        else b"U" + bytes([len(image)]) + image
        for image in IMAGES
    )
    data = b"\x80\x02]q\x00(" + strings + b"e]q\x01(\x88\x89e\x86q\x02."
    assert pickle.loads(data, encoding="bytes") == (IMAGES, SAME)
    assert opened(save(tmp_path, data)) == (IMAGES, SAME)


@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(st.tuples(st.binary(), st.binary(), st.booleans())))
def test_written_and_read_back_here_and_by_pickle(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("bin") / "a.bin"
    images, same = [image for pair in pairs for image in pair[:2]], [pair[2] for pair in pairs]
    write_bin(path, iter(images), iter(same))
    assert opened(path) == (images, same)
    assert pickle.loads(path.read_bytes()) == (images, same)


class Evil:
    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, "touch {}"),
        Evil(eval, "open({!r}, 'w')"),
        Evil(getattr, "text", "upper"),
        Evil(np.zeros, 10**12),
        Evil(bytearray, 10**12),
    ],
    ids=["system", "eval", "getattr", "zeros", "bytearray"],
)
@pytest.mark.parametrize(
    "place",
    [lambda evil: evil, lambda evil: ([evil, b""], SAME), lambda evil: ([b""] * 4, [evil, True])],
)
def test_a_malicious_pickle_is_refused(tmp_path, protocol, evil, place):
    harmed = tmp_path / "harmed"
    call, arguments = evil.reduced
    armed = Evil(
        call, *(item.format(str(harmed)) if isinstance(item, str) else item for item in arguments)
    )
    with pytest.raises(
        KitError, match=r"a\.bin: byte \d+: .*holds \(images, flags\) and nothing else"
    ):
        read_bin(save(tmp_path, place(armed), protocol))
    assert not harmed.exists()


def test_a_memo_index_out_of_all_proportion_costs_nothing(tmp_path):
    """`LONG_BINPUT 4294967295` makes Python's unpickler allocate 64 GB."""
    data = pickle.dumps((IMAGES, SAME), 2)
    data = data[:2] + b"]r\xff\xff\xff\xff0" + data[2:]
    with pytest.raises(KitError, match=r"opcode b'0'"):
        read_bin(save(tmp_path, data))


@pytest.mark.parametrize("code", [b"B", b"T", b"X", b"\x8e", b"\x8d", b"\x96"])
def test_a_length_beyond_the_file_costs_nothing(tmp_path, code):
    width = 8 if code in b"\x8e\x8d\x96" else 4
    with pytest.raises(KitError, match="the file ends too early"):
        read_bin(save(tmp_path, b"\x80\x04" + code + b"\xff" * (width - 1) + b"\x7f"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ((IMAGES, [True]), "4 images for 1 pairs"),
        ((IMAGES, [2, True]), "neither true nor false"),
        ((["text", b"", b"", b""], SAME), "an image is a str"),
        (IMAGES, "byte"),
        ({"a": 1}, "opcode"),
        (([np.zeros(3, np.float32), b"", b"", b""], SAME), "a numpy array of 'f4'"),
        (([np.zeros((2, 3), np.uint8), b"", b"", b""], SAME), "shape"),
        (b"", "empty"),
        (b"hello", "opcode b'h'|byte"),
    ],
)
def test_what_is_no_verification_set(tmp_path, content, problem):
    with pytest.raises(KitError, match=problem):
        read_bin(save(tmp_path, content))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damage_is_an_error_or_harmless(tmp_path_factory, data):
    protocol = data.draw(st.integers(2, 5))
    whole = bytearray(
        pickle.dumps(([b"one", np.frombuffer(b"two", np.uint8)], [np.bool_(True)]), protocol)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bin") / "a.bin"
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    try:
        images, same = read_bin(path)
    except KitError as error:
        assert "a.bin" in str(error)
    else:
        assert len(images) == 2 * len(same)


def test_our_files_disassemble(tmp_path):
    write_bin(tmp_path / "a.bin", IMAGES, SAME)
    told = io.StringIO()
    pickletools.dis((tmp_path / "a.bin").read_bytes(), told)
    assert "highest protocol among opcodes = 3" in told.getvalue()


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("kind", ["i8", ">i8", "i4", "u2", "u1", "f4", ">f8", "?"])
def test_flags_as_numbers_of_any_type(tmp_path, protocol, kind):
    """What np.array([1, 0]) gives is int64; scores that somebody thresholded are floats."""
    flags = np.array(SAME, kind)
    for content in (flags, list(flags), flags[:, None], flags.tolist(), [1.0, 0.0]):
        assert opened(save(tmp_path, (IMAGES, content), protocol)) == (IMAGES, SAME)


@pytest.mark.parametrize(
    "flags", [np.array([1, 2]), np.array([0.5, 1]), [float("nan"), 1], [-1, 1], np.eye(2)]
)
def test_flags_that_are_neither_true_nor_false(tmp_path, flags):
    with pytest.raises(KitError, match=r"neither true nor false|of the shape"):
        read_bin(save(tmp_path, (IMAGES, flags)))
