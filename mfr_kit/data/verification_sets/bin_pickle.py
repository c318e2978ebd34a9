"""The pickle inside a verification `.bin`: `(list of encoded images, list of bool)`.

Python's unpickler executes whatever the file says, and even one restricted to harmless names
allocates what a hostile file claims. So this is no unpickler but a reader of the few opcodes that
lists, tuples, bytes, bools and numpy byte arrays need, as Python 2 and 3 and old and new numpy
write them. Nothing is ever imported or called, and the images stay where they are.
"""

import math
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mfr_kit.errors import KitError

MARK = object()
# what a damaged pickle makes the machine raise
_DAMAGES = (struct.error, LookupError, TypeError, ValueError, AttributeError, OverflowError)
# What numpy's own pickles name, under the module paths of numpy 1 and 2, and the latin-1 detour of
# Python 3 at protocol 2.
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_NAMES = {
    **{(module, "_reconstruct"): "array" for module in _MULTIARRAY},
    **{(module, "scalar"): "scalar" for module in _MULTIARRAY},
    **{(module, "_frombuffer"): "frombuffer" for module in _NUMERIC},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
    ("builtins", "bytes"): "bytes",
}


@dataclass(frozen=True)
class _Name:
    """Stands for a global that numpy's pickles mention; it cannot be called."""

    kind: str


@dataclass
class _Dtype:
    """Stands for a numpy type; `order` is "<" or ">" where an element has several bytes."""

    code: str
    order: str = "<"


@dataclass
class _Array:
    """Stands for a numpy array (or scalar): bytes of an image, or numbers that are flags."""

    data: memoryview | bytes = b""
    dtype: _Dtype = field(default_factory=lambda: _Dtype("u1"))

    def numbers(self) -> list:
        """The elements, as Python's numbers."""
        return np.frombuffer(self.data, self.dtype.order + self.dtype.code).tolist()


def parse(view: memoryview, where: str) -> tuple[list[memoryview | bytes], list[bool]]:
    """Find the images, as views, and the flags of a verification set.

    Raises:
        KitError: not such a pickle; names `where`, the byte and what was found there.
    """
    machine = _Machine(view)
    try:
        images, same = machine.run()
        return [_bytes_of(image) for image in _items(images)], _flags_of(_items(same))
    except _Refused as error:
        problem = str(error)
    except _DAMAGES:
        problem = "the pickle is damaged or holds something else"
    raise KitError(
        f"{where}: byte {machine.position}: {problem}; a verification .bin holds (images, flags) "
        "and nothing else"
    )


class _Refused(Exception):
    """The file asks for something that a verification set has no need of."""


class _Machine:
    """The stack, the memo and the opcodes; every object is made of at least one byte of the
    file, so memory is bounded by its size.
    """

    def __init__(self, view: memoryview):
        self.view, self.position = view, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = bytes(self.take(1))
            if code == pickle.STOP:
                return self.stack.pop()
            if code in _SIZED:
                self.stack.append(self.take(self.number(_SIZED[code])))
            elif code in _TEXTS:
                self.stack.append(
                    str(self.take(self.number(_TEXTS[code])), "utf-8", "surrogatepass")
                )
            elif code in _CONSTANTS:
                self.stack.append(_CONSTANTS[code])
            elif code in _ACTIONS:
                _ACTIONS[code](self)
            else:
                raise _Refused(f"opcode {code!r}")

    def take(self, count: int) -> memoryview:
        if count < 0 or self.position + count > len(self.view):
            raise _Refused("the file ends too early")
        self.position += count
        return self.view[self.position - count : self.position]

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        text = bytes(self.view[self.position : self.position + 80])
        self.take(text.index(b"\n") + 1)
        return text[: text.index(b"\n")].decode("ascii")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list:
        at = len(self.stack)
        while self.stack[at - 1] is not MARK:
            at -= 1
            if not at:
                raise _Refused("a mark is missing")
        items = self.stack[at:]
        del self.stack[at - 1 :]
        return items

    def tuple_of(self, count: int) -> None:
        items = self.stack[-count:] if len(self.stack) >= count else []
        if len(items) != count:
            raise _Refused("the stack is empty")
        del self.stack[-count:]
        self.push(tuple(items))

    def append(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise _Refused("something is appended to what is not a list")
        self.stack[-1].extend(items)

    def name(self, module: str, name: str) -> None:
        if (module, name) not in _NAMES:
            raise _Refused(f"the name {module}.{name}")
        self.push(_Name(_NAMES[module, name]))

    def reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if type(name) is not _Name or type(arguments) is not tuple or name.kind not in _MAKERS:
            raise _Refused("a call of something else than numpy's array makers")
        self.push(_MAKERS[name.kind](*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Array):  # (version, shape, dtype, column order, bytes)
            made = _array(state[4], state[2], state[1])
            target.data, target.dtype = made.data, made.dtype
        elif isinstance(target, _Dtype):  # (version, byte order, fields that only others have ...)
            order = _text(state[1])
            if order not in ("<", ">", "|", "="):
                raise _Refused(f"a byte order {order!r}")
            target.order = ">" if order == ">" else "<"
        else:
            raise _Refused("a state for what has none")


NUMBERS = ("u1", "i1", "b1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")


def _array(data: Any, dtype: Any, shape: Any) -> _Array:
    if type(dtype) is not _Dtype:
        raise _Refused("a numpy array without a type")
    data = _encode(data, "latin1") if isinstance(data, str) else data
    fits = type(shape) is tuple and len(shape) in (1, 2) and all(type(n) is int for n in shape)
    if not fits or math.prod(shape) * int(dtype.code[1:]) != len(data) or min(shape) < 0:
        raise _Refused("a numpy array whose shape does not fit its bytes")
    if len(shape) == 2 and 1 not in shape:
        raise _Refused(f"a numpy array of the shape {shape}")
    return _Array(data, dtype)


def _dtype(code: Any, *_: Any) -> _Dtype:
    code = _text(code)
    if code not in NUMBERS:
        raise _Refused(f"a numpy array of {code!r}")
    return _Dtype(code)


def _text(value: Any) -> str:
    return bytes(value).decode("ascii") if isinstance(value, bytes | memoryview) else str(value)


def _encode(text: str, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise _Refused("an encoding other than latin1")
    return text.encode("latin1")


_MAKERS: dict[str, Callable] = {
    "array": lambda *_: _Array(),
    "scalar": lambda dtype, data: _array(data, dtype, (1,)),
    "frombuffer": lambda data, dtype, shape, *_: _array(data, dtype, shape),
    "dtype": _dtype,
    "encode": _encode,
    "bytes": lambda: b"",
}
_SIZED = {
    pickle.SHORT_BINBYTES: "<B",
    pickle.BINBYTES: "<I",
    pickle.BINBYTES8: "<Q",
    pickle.BYTEARRAY8: "<Q",
}
_SIZED |= {pickle.SHORT_BINSTRING: "<B", pickle.BINSTRING: "<i"}  # Python 2's str
_TEXTS = {pickle.SHORT_BINUNICODE: "<B", pickle.BINUNICODE: "<I", pickle.BINUNICODE8: "<Q"}
_CONSTANTS = {
    pickle.NEWTRUE: True,
    pickle.NEWFALSE: False,
    pickle.NONE: None,
    pickle.EMPTY_TUPLE: (),
    pickle.MARK: MARK,
}
_ACTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.PROTO: lambda machine: machine.take(1),
    pickle.FRAME: lambda machine: machine.take(8),
    pickle.EMPTY_LIST: lambda machine: machine.push([]),
    pickle.LIST: lambda machine: machine.push(machine.since_mark()),
    pickle.TUPLE: lambda machine: machine.push(tuple(machine.since_mark())),
    pickle.TUPLE1: lambda machine: machine.tuple_of(1),
    pickle.TUPLE2: lambda machine: machine.tuple_of(2),
    pickle.TUPLE3: lambda machine: machine.tuple_of(3),
    pickle.APPEND: lambda machine: machine.append([machine.stack.pop()]),
    pickle.APPENDS: lambda machine: machine.append(machine.since_mark()),
    pickle.BININT: lambda machine: machine.push(machine.number("<i")),
    pickle.BININT1: lambda machine: machine.push(machine.number("<B")),
    pickle.BININT2: lambda machine: machine.push(machine.number("<H")),
    # protocols 0 and 1 write bools as I00 and I01
    pickle.INT: lambda machine: machine.push(int(machine.line())),
    pickle.LONG: lambda machine: machine.push(int(machine.line().rstrip("L"))),
    pickle.LONG1: lambda machine: machine.push(
        int.from_bytes(machine.take(machine.number("<B")), "little", signed=True)
    ),
    pickle.FLOAT: lambda machine: machine.push(float(machine.line())),
    pickle.BINFLOAT: lambda machine: machine.push(machine.number(">d")),
    pickle.BINPUT: lambda machine: machine.memo.__setitem__(
        machine.number("<B"), machine.stack[-1]
    ),
    pickle.LONG_BINPUT: lambda machine: machine.memo.__setitem__(
        machine.number("<I"), machine.stack[-1]
    ),
    pickle.MEMOIZE: lambda machine: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    pickle.BINGET: lambda machine: machine.push(machine.memo[machine.number("<B")]),
    pickle.LONG_BINGET: lambda machine: machine.push(machine.memo[machine.number("<I")]),
    pickle.GLOBAL: lambda machine: machine.name(machine.line(), machine.line()),
    pickle.STACK_GLOBAL: lambda machine: machine.name(
        *reversed((machine.stack.pop(), machine.stack.pop()))
    ),
    pickle.REDUCE: _Machine.reduce,
    pickle.BUILD: _Machine.build,
}


def _items(value: Any) -> Any:
    if not isinstance(value, list | tuple | _Array):
        raise _Refused(f"a {type(value).__name__} where a list is expected")
    return value


def _bytes_of(image: Any) -> memoryview | bytes:
    if isinstance(image, _Array):
        if image.dtype.code[1:] != "1":
            raise _Refused(f"an image is a numpy array of {image.dtype.code!r}, not of bytes")
        return image.data
    if not isinstance(image, memoryview | bytes):
        raise _Refused(f"an image is a {type(image).__name__}")
    return image


def _flags_of(same: Any) -> list[bool]:
    items = same.numbers() if isinstance(same, _Array) else []
    for item in () if isinstance(same, _Array) else same:
        items += item.numbers() if isinstance(item, _Array) else [item]
    if any(type(item) not in (bool, int, float) or item not in (0, 1) for item in items):
        raise _Refused("a flag is neither true nor false (0 or 1)")
    return [bool(item) for item in items]
