"""Damage to files, with knowledge of their structure; everything random comes from the generator
that is handed in.
"""

import csv
import io
import json
import math
import random
from pathlib import Path

WRONG = (
    None,
    True,
    False,
    0,
    1,
    -1,
    7,
    1.5,
    -0.5,
    1e308,
    10**30,
    2**63,
    "",
    "x",
    "1",
    "nan",
    "\0",
    "a\nb",
    "a\0b",
    "\ud800",
    "..",
    "/",
    "é" * 300,
)
WRONG += (
    math.nan,
    math.inf,
    [],
    [[]],
    {},
    {"a": 1},
    [1, 2],
    ["x"],
    {"x": {"y": {"z": []}}},
    [None],
    "x" * 5000,
)
PIECES = (
    b"\0",
    b"\0\0\0\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\r",
    b"\n",
    b"\t",
    b",",
    b'"',
    b"{",
    b"}",
    b"[",
    b"\xff",
    b"\x80",
    b"-",
    b"9" * 30,
    b"\xff\xff\xff\x7f",
    b"\xff" * 8,
)
FOREIGN = (
    b"",
    b"\0" * 100,
    b"<html><body>404</body></html>",
    b"PK\x03\x04",
    b"\x89PNG\r\n\x1a\n",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"[" * 5000,
    b'{"a":' * 5000,
    b"1" * 6000,
    b"version https://git-lfs.github.com/spec/v1\n",
    "ä".encode("latin-1"),
    "x = 1".encode("utf-16"),
)


def bytes_of(data: bytes, rng: random.Random) -> bytes:  # noqa: C901  a list of alternatives
    """Cut, flip, splice or replace bytes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(9)
        if kind == 0:
            del data[at:]
        elif kind == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 2 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data[at:at] = rng.choice(PIECES)
        elif kind == 4:
            piece = rng.choice(PIECES)
            data[at : at + len(piece)] = piece
        elif kind == 5:
            del data[at : at + rng.choice((1, 4, 16, 100))]
        elif kind == 6:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + rng.choice((4, 16, 100))]
        elif kind == 7:
            data[at : at + 16] = b"\0" * 16
        elif rng.random() < 0.3:
            data[:] = rng.choice(FOREIGN)
    return bytes(data)


def lines_of(text: str, rng: random.Random) -> str:
    """Leave out, double, swap or cut lines."""
    lines = text.splitlines(keepends=True)
    at, other = (rng.randrange(len(lines)) for _ in range(2)) if lines else (0, 0)
    kind = rng.randrange(6)
    if kind == 0:
        del lines[at : at + 1]
    elif kind == 1:
        lines[at:at] = lines[other : other + 1]
    elif kind == 2 and lines:
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == 3 and lines:
        lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    elif kind == 4:
        lines[at:at] = [rng.choice(("\n", "  \n", "#\n", "x\n", "\t\n", ",,,,\n", "a b c d e f\n"))]
    else:
        del lines[at:]
    return "".join(lines)


def value_in(root, rng: random.Random):
    """Change one value, key or length somewhere in nested tables and lists (in place); returns
    the root, which may be another.
    """
    places, queue = [], [root]
    while queue:
        node = queue.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        places += [(node, key) for key in keys]
        queue += [node[key] for key in keys if isinstance(node[key], dict | list)]
    if not places or rng.random() < 0.03:
        return rng.choice(WRONG)
    node, key = rng.choice(places)
    kind = rng.randrange(10)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice(("x", "", "a.b", "name ", str(key).upper()))] = node.pop(key)
    elif kind == 2 and isinstance(node, list):
        node.append(node[key])
    elif kind == 3 and isinstance(node[key], int | float):
        node[key] = rng.choice((-node[key], str(node[key]), node[key] * 1000 + 1, [node[key]], 0))
    elif kind == 4 and isinstance(node[key], str):
        node[key] = rng.choice(
            (node[key] + " ", node[key][:-1], node[key].upper(), [node[key]], node[key] + "\0")
        )
    elif kind == 5 and isinstance(node[key], list | dict):
        node[key] = type(node[key])()
    else:
        node[key] = rng.choice(WRONG)
    return root


def json_of(text: str, rng: random.Random) -> str:
    """Change a value of a JSON document."""
    return json.dumps(value_in(json.loads(text), rng))


def jsonl_of(text: str, rng: random.Random) -> str:
    """Change a value of a line of JSON, or the lines."""
    lines = text.splitlines()
    if rng.random() < 0.4 or not lines:
        return lines_of(text, rng)
    at = rng.randrange(len(lines))
    lines[at] = json_of(lines[at], rng)
    return "\n".join(lines) + "\n"


def toml_text(value) -> str:
    """Format a value as TOML, tables inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {toml_text(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_text, value)) + "]"
    if isinstance(value, float):
        return str(value)
    return json.dumps(value, ensure_ascii=value != "\ud800")


def toml_of(text: str, rng: random.Random) -> str:
    """Change a value of a TOML document."""
    import tomllib

    table = value_in(tomllib.loads(text), rng)
    if not isinstance(table, dict):
        return toml_text(table)
    return "".join(f"{json.dumps(key)} = {toml_text(value)}\n" for key, value in table.items())


def csv_of(text: str, rng: random.Random) -> str:
    """Change the columns or a field of a CSV."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    column, at = rng.randrange(len(rows[0])), rng.randrange(len(rows))
    kind = rng.randrange(6)
    if kind == 0:
        rows = [row[:column] + row[column + 1 :] for row in rows]
    elif kind == 1:
        rows = [[*row[:column], rng.choice(("", "x")), *row[column:]] for row in rows]
    elif kind == 2:
        rows[at] = rows[at][:column] + rows[at][column + 1 :]
    elif kind == 3:
        rows[at] = [*rows[at], "x"]
    elif kind == 4:
        rows[0][column] = rng.choice(("", "x", rows[0][0]))
    if kind > 3 and column < len(rows[at]):
        rows[at][column] = rng.choice(
            ("", "\n", "a\nb", '"', "None", "nan", "mask", "-1", "x" * 200000, "\0", "é")
        )
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def parquet_file(path: Path, rng: random.Random) -> None:
    """Change columns, types, rows or values of a parquet table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    at, kind = rng.randrange(table.num_columns), rng.randrange(9)
    name, column = table.column_names[at], table.column(at)
    rows = column.to_pylist()
    if kind == 0:
        table = table.remove_column(at)
    elif kind == 1:
        names = [*table.column_names]
        names[at] = rng.choice(("x", "", names[0], names[-1], name.upper()))
        table = table.rename_columns(names)
    elif kind == 2:
        table = table.append_column(rng.choice((name, "extra", "quality")), column)
    elif kind == 3:
        order = (
            [rng.randrange(len(rows)) for _ in rows]
            if rng.random() < 0.5
            else rng.sample(range(len(rows)), len(rows))
        )
        table = table.take(order)
    elif kind == 4:
        table = table.slice(0, rng.choice((0, 1, len(rows) - 1)))
    elif kind == 5:
        table = table.set_column(at, name, _retyped(pa, column, rows, rng))
    else:
        for _ in range(rng.choice((1, 1, 3, len(rows)))):
            row = rng.randrange(len(rows))
            rows[row] = _other(rows[row], rng)
        table = table.set_column(
            at,
            name,
            pa.array(
                rows,
                column.type
                if not pa.types.is_fixed_size_list(column.type)
                else pa.list_(pa.float32()),
            ),
        )
    pq.write_table(table, path)


def _retyped(pa, column, rows: list, rng: random.Random):
    texts = [str(row) for row in rows]
    kinds = (
        lambda: pa.nulls(len(rows)),
        lambda: pa.array(texts),
        lambda: pa.array(range(len(rows))),
        lambda: pa.array([[float(number) for number in range(4)] for _ in rows]),
        lambda: pa.array([text.encode() for text in texts], pa.binary()),
        lambda: pa.array(texts).dictionary_encode(),
        lambda: pa.array([{"a": 1} for _ in rows]),
        lambda: pa.array(texts, pa.large_string()),
    )
    return rng.choice(kinds)()


def _other(value, rng: random.Random):
    if isinstance(value, str):
        return rng.choice(
            (
                None,
                "",
                "None",
                "x",
                value + "\0",
                value + "\n",
                value.upper(),
                "../" + value,
                "/etc/passwd",
                "mask",
                "nonmask",
                "{}",
                '{"look": 1}',
                "x" * 5000,
            )
        )
    if isinstance(value, list):
        return rng.choice(
            (
                None,
                [],
                value[:-1],
                [*value, 1.0],
                [None, *value[1:]],
                [math.nan] * len(value),
                [math.inf, *value[1:]],
                [0.0] * len(value),
                [1e30] * len(value),
            )
        )
    if isinstance(value, float):
        return rng.choice((None, math.nan, math.inf, -1.0, 1e30))
    return rng.choice((None, -1, 10**6, 0))


def torch_file(path: Path, rng: random.Random) -> None:
    """Change entries of what torch saved: left out, renamed, retyped, of another shape, not
    finite.
    """
    import torch

    root = torch.load(path, weights_only=True)
    root = _torch_value(root, rng)
    torch.save(root, path)


def _torch_value(root, rng: random.Random):
    import torch

    node, key = None, None
    while rng.random() < 0.85:
        inner = root if node is None else node[key]
        keys = (
            list(inner)
            if isinstance(inner, dict)
            else range(len(inner))
            if isinstance(inner, list)
            else ()
        )
        if not len(keys):
            break
        node, key = inner, rng.choice(list(keys))
    if node is None:
        return rng.choice((root, [], {}, None, 3, torch.zeros(3), [root], {"x": root}, "x", {1: 2}))
    value, kind = node[key], rng.randrange(8)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice(("x", 3, "", f"module.{key}"))] = node.pop(key)
    elif isinstance(value, torch.Tensor) and kind < 6:
        node[key] = rng.choice(
            (
                value[:0] if value.ndim else value,
                value.half(),
                value.flatten(),
                value.unsqueeze(0),
                torch.zeros(()),
                value.to(torch.int64),
                value.to(torch.complex64),
                value.float() * math.nan,
                value.tolist(),
            )
        )
    else:
        node[key] = rng.choice(
            (
                None,
                0,
                -1,
                10**12,
                "x",
                1.5,
                math.nan,
                [],
                {},
                {"x": 1},
                torch.zeros(2),
                True,
                [1, 2],
                (1, 2),
            )
        )
    return root


def npy_of(data: bytes, rng: random.Random) -> bytes:
    """Change the header of a .npy file."""
    import numpy as np

    rows = np.load(io.BytesIO(data))
    if rng.random() < 0.4:
        others = (
            rows.astype(np.float64),
            rows.astype(np.int32),
            rows.astype(bool),
            rows[:0],
            rows[:-1],
            rows[:, :0] if rows.ndim > 1 else rows,
            rows.ravel(),
            rows[None],
            np.asfortranarray(rows),
            rows.astype(">f4"),
            rows.astype(np.float16),
            rows * np.nan,
            rows * 0,
            rows.astype(str),
            rows.astype(complex),
            np.array({"a": 1}),
            np.zeros((), np.float32),
            np.concatenate([rows, rows]),
            rows.astype("datetime64[s]"),
            np.zeros(len(rows), [("a", "f4"), ("b", "f4")]),
        )
        out = io.BytesIO()
        np.save(out, rng.choice(others), allow_pickle=True)
        return out.getvalue()
    start = data.index(b"{")
    end = data.index(b"\n", start)
    header = data[start:end].decode("latin-1").rstrip()
    shape = str(rows.shape)
    swaps = (
        (shape, "(1000000000, 1000000000)"),
        (shape, "(-1, 8)"),
        (shape, "(2**40, 1)"),
        (shape, "()"),
        (shape, "('a', 8)"),
        (shape, "(99999999999, 8)"),
        (shape, "[8]"),
        ("'<f4'", "'|O'"),
        ("'<f4'", "'<f99'"),
        ("'<f4'", "5"),
        ("'<f4'", "'<V1000000000'"),
        ("'<f4'", "[('a','<f4')]"),
        ("False", "True"),
        ("False", "7"),
        ("'descr'", "'x'"),
        ("}", ", 'extra': 1}"),
        ("{", "("),
        (header, "1"),
        (header, "{" * 500),
        (header, "__import__('os')"),
        (shape, "(" * 300),
        (shape, shape[:-1] + ", 0)"),
    )
    old, new = rng.choice(swaps)
    header = header.replace(old, new, 1)[:60000]
    padded = header.encode("latin-1").ljust(end - start)[: max(end - start, len(header))] + b"\n"
    version = rng.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    size = len(padded) if rng.random() < 0.8 else rng.choice((0, 1, 65535))
    length = size.to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + length + padded + data[end + 1 :]
