"""Hugging Face's data sets of images: parquet files with an image column, a struct of `bytes` and
`path` or plain bytes, with or without a column of labels.

Names of labels are taken from the `ClassLabel` in the file's own description. The kit writes
`image`, `label` and `identity`; `path` says whether a face is masked.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfr_kit import files, tables
from mfr_kit.data.formats._parquet_images import ParquetImages
from mfr_kit.data.formats._samples import (
    LABELS,
    Samples,
    build_set,
    files_of,
    is_pattern,
    is_shard_folder,
    shown_name,
)
from mfr_kit.data.photographs.layout import lay_out
from mfr_kit.data.training_set import TrainingSet
from mfr_kit.errors import KitError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGES = ("image", "img", "photo", "face", "jpg", "png", "bytes")  # which of several columns
SHARD_BYTES = 500_000_000  # as `datasets` writes them
GROUP_ROWS, GROUP_BYTES = 1000, 8 << 20  # a row group ends with what exceeds one
BATCH_ROWS = 1 << 16
ADVICE = "copy it again from where it came"
NEEDS = f"a column {', '.join(LABELS[:-1])} or {LABELS[-1]}"


def recognises(path: Path) -> bool:
    """A .parquet, a pattern of such names, a folder of them, or a folder with nothing but `data`
    in it, where they are.
    """
    if path.suffix.lower() == ".parquet":
        return True
    if not path.is_dir() or (path / "faces.parquet").exists():
        return False
    return is_shard_folder(_home(path), ".parquet")


def open_set(path: Path) -> TrainingSet:
    """Read names and labels of every file; images stay there until they are asked for.

    Rows without a label are among the `skipped` where others have one.

    Raises:
        KitError: no parquet, no image column or several, files of several columns or splits, or a
            label that is no person's.
    """
    shards = files_of(_home(path), ".parquet")
    _refuse_splits(path, shards)
    samples, column = Samples(), ""
    for shard in shards:
        column = _read_shard(shard, samples, column)
    images = ParquetImages(shards, column)
    found = build_set(path, "hf-parquet", samples, images, NEEDS)
    if bool((np.diff(found.labels) < 0).any()):
        images.keep_on_disk()
    return found


def outputs(path: Path) -> list[Path]:
    """Name what `write_set` makes."""
    return [path]


def write_set(path: Path, source: TrainingSet) -> None:
    """Write one file where `path` ends in .parquet, else a folder with
    `data/train-00000-of-00001.parquet` ..., as `datasets` looks for them; ordered by person.
    """
    groups = _groups(source)
    if path.suffix.lower() == ".parquet":
        with files.replacing(path) as temporary, _writer(temporary) as writer:
            for table in groups:
                writer.write_table(table)
        return
    with files.building(path) as folder, ExitStack() as stack:
        (folder / "data").mkdir()
        made: list[Path] = []
        writer, size = None, 0
        for table in groups:
            if writer is None or size + table.nbytes > SHARD_BYTES:
                stack.close()
                made.append(folder / "data" / f"{len(made)}")
                writer, size = stack.enter_context(_writer(made[-1])), 0
            writer.write_table(table)
            size += table.nbytes
        stack.close()
        for number, file in enumerate(made):
            file.rename(file.with_name(f"train-{number:05d}-of-{len(made):05d}.parquet"))


def _home(path: Path) -> Path:
    """Step into `data` where a folder holds no other."""
    if not path.is_dir():
        return path
    inner = [item.name for item in path.iterdir() if item.is_dir() and item.name[:1] != "."]
    return path / "data" if inner == ["data"] else path


def _refuse_splits(path: Path, shards: list[Path]) -> None:
    splits = sorted({shard.name.split("-")[0] for shard in shards if "-of-" in shard.name})
    if len(splits) > 1 and not is_pattern(path):
        raise KitError(
            f"{path} holds the splits {', '.join(splits)}: name one, for example "
            f"'{shards[0].parent / splits[-1]}-*.parquet'"
        )


def _schema() -> "pa.Schema":
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("image", image), ("label", pa.int64()), ("identity", pa.string())]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {
        name: {"dtype": dtype, "_type": "Value"}
        for name, dtype in (("label", "int64"), ("identity", "string"))
    }
    described = json.dumps({"info": {"features": features}})
    return pa.schema(fields, {"huggingface": described})


def _writer(path: Path) -> "pq.ParquetWriter":
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, _schema(), use_dictionary=["identity"])


def _groups(source: TrainingSet) -> Iterator["pa.Table"]:
    import pyarrow as pa

    people: dict[str, int] = {}
    rows: list[dict] = []
    size = 0
    for _, person, name, data in lay_out(source):
        label = people.setdefault(person, len(people))
        image = {"bytes": data, "path": name}
        rows.append({"image": image, "label": label, "identity": person})
        size += len(data)
        if len(rows) >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_pylist(rows, _schema())
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, _schema())


def _read_shard(shard: Path, samples: Samples, expected: str) -> str:
    """Add a file's rows to `samples`; return the path of its image column, as parquet spells it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard) as file:
            tables.refuse_impossible(file.metadata, shard, ADVICE)
            schema = file.schema_arrow
            image, label = _image_column(shard, schema), _label_column(schema)
            _refuse_twice(shard, schema, (image, label))
            of_struct = pa.types.is_struct(schema.field(image).type)
            column = f"{image}.bytes" if of_struct else image
            if expected not in ("", column):
                raise KitError(
                    f"{shard}: its images are in {column}, those of the files before in {expected}"
                )
            names = _class_names(shard, schema, label)
            rows = _rows(file, image if of_struct else "", label)
            for row, (path, value) in enumerate(rows):
                name = shown_name(path, f"{shard.stem}/{row:08d}")
                samples.add(name, _person(shard, row, value, names))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise KitError(f"{shard}: cannot be read as parquet ({reason}); {ADVICE}") from None
    return column


def _rows(file: "pq.ParquetFile", image: str, label: str) -> Iterator[tuple[str | None, Any]]:
    """Yield (path, label) of every row; a column called "" is None in each."""
    wanted = ([f"{image}.path"] if image else []) + ([label] if label else [])
    if not wanted:
        yield from itertools.repeat((None, None), file.metadata.num_rows)
        return
    for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
        nothing = [None] * len(batch)
        paths = batch[image].field("path").to_pylist() if image else nothing
        labels = batch[label].to_pylist() if label else nothing
        yield from zip(paths, labels, strict=True)


def _person(shard: Path, row: int, value: Any, names: list[str] | None) -> str | None:
    if value is None or value == "" or (isinstance(value, int) and value == -1):
        return None  # -1 is how `datasets` writes a label that is kept secret
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or str(value).startswith("-"):
        raise KitError(f"{shard}: row {row}: label {str(value)[:40]!r} is no person's")
    if names is None or isinstance(value, str):
        return str(value)
    if value >= len(names):
        raise KitError(f"{shard}: row {row}: label {value}, but the file names {len(names)} labels")
    return names[value]


def _image_column(shard: Path, schema: "pa.Schema") -> str:
    import pyarrow as pa

    def holds_images(kind: "pa.DataType") -> bool:
        if pa.types.is_struct(kind):
            return {"bytes", "path"} <= {kind.field(at).name for at in range(kind.num_fields)}
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    found = [field.name for field in schema if holds_images(field.type)]
    found = found if len(found) == 1 else [name for name in IMAGES if name in found][:1]
    if not found:
        raise KitError(
            f"{shard}: no column of images (struct of bytes and path, or bytes, called "
            f"{' or '.join(IMAGES[:2])} where there are several) among {', '.join(schema.names)}"
        )
    return found[0]


def _refuse_twice(shard: Path, schema: "pa.Schema", columns: tuple[str, ...]) -> None:
    for name in columns:
        if schema.names.count(name) > 1:
            raise KitError(f"{shard}: has {schema.names.count(name)} columns '{name}': keep one")


def _label_column(schema: "pa.Schema") -> str:
    return next((name for name in LABELS if name in schema.names), "")


def _class_names(shard: Path, schema: "pa.Schema", label: str) -> list[str] | None:
    """Read the names that a `ClassLabel` gives the numbers 0, 1, 2 ..., None without one."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = described["info"]["features"][label].get("names")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise KitError(f"{shard}: the names of the labels in its description are no list of texts")
    return names
