"""Hugging Face's parquet files of images: what others put into them, and what the kit writes."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfr_kit.cli import main
from mfr_kit.data.convert import convert, open_any
from mfr_kit.data.formats import _parquet_images, hf_parquet
from mfr_kit.errors import SetError
from tests.data.test_convert_masked import faces, shown  # noqa: F401  a fixture
from tests.data.test_convert_odd import folder
from tests.data.test_formats import jpeg

IMAGES = [jpeg(number) for number in range(6)]
STRUCT = pa.array([{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(IMAGES)])


def parquet(path, columns, names=None, **options):
    """Write columns, with the names of a ClassLabel `label` as `datasets` describes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    pq.write_table(table, path, **options)
    return path


def people_of(source):
    return [(source.person(row), source.encoded(row)) for row in range(len(source))]


@pytest.mark.parametrize(
    "images",
    [STRUCT, pa.array(IMAGES), pa.array(IMAGES, pa.large_binary())],
    ids=["struct", "binary", "large"],
)
@pytest.mark.parametrize(
    "labels",
    [
        pa.array([0, 1, 0, 2, 1, 0]),
        pa.array([0, 1, 0, 2, 1, 0], pa.uint8()),
        pa.array([0.0, 1, 0, 2, 1, 0]),
        pa.array(["0", "1", "0", "2", "1", "0"]),
        pa.array(["0", "1", "0", "2", "1", "0"]).dictionary_encode(),
    ],
    ids=["int", "uint8", "float", "text", "dictionary"],
)
@pytest.mark.parametrize("column", ["label", "identity"])
def test_columns_as_others_write_them(tmp_path, images, labels, column):
    path = parquet(tmp_path / "a.parquet", {"image": images, column: labels}, row_group_size=2)
    chosen, found = open_any(path)
    assert chosen == "hf-parquet"
    assert people_of(found) == list(zip("010210", IMAGES, strict=True))
    assert convert(path, tmp_path / "out").photographs == 6


def test_paths_that_are_no_texts_are_no_names(tmp_path):
    bytes_ = pa.array([{"bytes": data, "path": b"%d.jpg" % n} for n, data in enumerate(IMAGES)])
    path = parquet(tmp_path / "a.parquet", {"image": bytes_, "label": pa.array([0] * 6)})
    found = open_any(path)[1]
    assert [found.encoded(row) for row in range(6)] == list(IMAGES)


def test_names_of_a_class_label(tmp_path):
    columns = {"image": STRUCT, "label": pa.array([0, 1, -1, 1, None, 0])}
    path = parquet(tmp_path / "a.parquet", columns, ["Zoe", "Ann"])
    proof = convert(path, tmp_path / "out")
    assert (proof.photographs, proof.skipped) == (4, 2)
    found = sorted(str(file.relative_to(tmp_path / "out")) for file in tmp_path.glob("out/*/*"))
    assert found == ["Ann/1.jpg", "Ann/3.jpg", "Zoe/0.jpg", "Zoe/5.jpg"]
    text = (tmp_path / "out.skipped.csv").read_text()
    assert text.count("no_person") == 2 and "2.jpg" in text and "4.jpg" in text


@pytest.mark.parametrize("images", [STRUCT, pa.array(IMAGES)], ids=["struct", "binary"])
def test_a_set_without_labels_is_one_unknown_person(tmp_path, images, capsys):
    path = parquet(tmp_path / "a.parquet", {"image": images})
    assert main(["convert", str(path), str(tmp_path / "out.rec")]) == 0
    text = capsys.readouterr().out
    assert "no photograph has a label (a column identity" in text and "6 photographs, 1" in text
    assert open_any(tmp_path / "out.rec")[1].people == ["unlabelled"]


def test_what_is_no_image_is_counted_and_named(tmp_path, capsys):
    rows = [
        {"bytes": IMAGES[0], "path": "a.jpg"},
        {"bytes": None, "path": "elsewhere/b.jpg"},
        {"bytes": b"<html>", "path": None},
        None,
        {"bytes": IMAGES[4], "path": "two\nlines.jpg"},
    ]
    path = parquet(tmp_path / "s.parquet", {"image": pa.array(rows), "label": [1, 1, 1, 1, 2]})
    assert main(["convert", str(path), str(tmp_path / "out")]) == 0
    assert "3 files left out" in capsys.readouterr().out
    text = (tmp_path / "out.skipped.csv").read_text()
    assert "elsewhere/b.jpg" in text and "s/00000002" in text and "s/00000003" in text
    assert sorted(file.name for file in tmp_path.glob("out/*/*")) == ["00000004.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        ({"text": ["a"]}, None, "no column of images"),
        ({"left": [b"a"], "right": [b"b"]}, None, "no column of images"),
        ({"image": [IMAGES[0]], "label": [[1, 2]]}, None, "row 0: label '[1, 2]' is no person's"),
        ({"image": [IMAGES[0]], "label": [0.5]}, None, "row 0: label '0.5' is no person's"),
        ({"image": [IMAGES[0]], "label": [-3]}, None, "row 0: label '-3' is no person's"),
        ({"image": [IMAGES[0]], "label": [True]}, None, "row 0: label 'True' is no person's"),
        ({"image": [IMAGES[0]], "label": [2]}, ["a", "b"], "label 2, but the file names 2 labels"),
        ({"image": [IMAGES[0]], "label": [0]}, ["a", 5], "are no list of texts"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, capsys, columns, names, message):
    path = parquet(tmp_path / "a.parquet", columns, names)
    assert main(["convert", str(path), str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert message in err and "a.parquet" in err and len(err.strip().splitlines()) == 1


def test_damaged_files_are_refused(tmp_path, capsys):
    path = parquet(tmp_path / "a.parquet", {"image": STRUCT, "label": [1] * 6})
    data = path.read_bytes()
    for bad in (b"", b"PAR1", data[: len(data) // 2], b"x" * 100):
        path.write_bytes(bad)
        assert main(["convert", str(path), str(tmp_path / "out")]) == 2
        assert "a.parquet" in capsys.readouterr().err
    path.write_bytes(data[:200] + bytes(2000) + data[2200:])
    assert main(["convert", str(path), str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["s", "s/data", "s/data/train-*.parquet"])
def test_the_layout_of_datasets(tmp_path, name):
    for shard in range(2):
        columns = {"image": STRUCT.slice(3 * shard, 3), "label": pa.array([7, 8, 9])}
        parquet(tmp_path / "s" / "data" / f"train-{shard:05d}-of-00002.parquet", columns)
    (tmp_path / "s" / "README.md").write_text("a card")
    assert people_of(open_any(tmp_path / name)[1]) == list(zip("789789", IMAGES, strict=True))


def test_several_splits_have_to_be_named(tmp_path, capsys):
    for split in ("test", "train"):
        path = tmp_path / "s" / "data" / f"{split}-00000-of-00001.parquet"
        parquet(path, {"image": STRUCT, "label": [1] * 6})
    assert main(["convert", str(tmp_path / "s"), str(tmp_path / "out")]) == 2
    assert "holds the splits test, train: name one" in capsys.readouterr().err
    assert len(open_any(tmp_path / "s" / "data" / "train-*.parquet")[1]) == 6


def test_shards_with_different_columns_are_refused(tmp_path, capsys):
    parquet(tmp_path / "s" / "a.parquet", {"image": STRUCT, "label": [1] * 6})
    parquet(tmp_path / "s" / "b.parquet", {"image": pa.array(IMAGES), "label": [1] * 6})
    assert main(["convert", str(tmp_path / "s"), str(tmp_path / "out")]) == 2
    assert "b.parquet: its images are in image, those of" in capsys.readouterr().err


def test_any_order_and_large_groups_are_read_from_disk_once(tmp_path, monkeypatch):
    labels = pa.array([2, 0, 1, 2, 0, 1])
    path = parquet(tmp_path / "a.parquet", {"image": STRUCT, "label": labels}, row_group_size=3)
    read = []
    batches = _parquet_images.ParquetImages._batches
    monkeypatch.setattr(
        _parquet_images.ParquetImages,
        "_batches",
        lambda self, group: read.append(group) or batches(self, group),
    )
    found = open_any(path)[1]
    for _ in range(3):
        assert [found.encoded(row) for row in (5, 0, 4, 1, 3, 2)] == [
            IMAGES[row] for row in (5, 0, 4, 1, 3, 2)
        ]
    assert read == [1, 0]
    again = pickle.loads(pickle.dumps(found))
    assert again.encoded(2) == IMAGES[2]


@pytest.mark.parametrize("labels", [[0] * 6, [1, 0] * 3], ids=["in memory", "on disk"])
def test_a_row_group_that_became_shorter(tmp_path, monkeypatch, labels):
    path = parquet(tmp_path / "a.parquet", {"image": STRUCT, "label": labels})
    found = open_any(path)[1]
    parquet(path, {"image": STRUCT.slice(0, 2), "label": labels[:2]})
    with pytest.raises(SetError, match=r"a\.parquet: row group 0 has fewer rows than it says"):
        found.encoded(5)


def test_groups_in_memory_stay_few(tmp_path, monkeypatch):
    path = parquet(
        tmp_path / "a.parquet", {"image": STRUCT, "label": np.arange(6)}, row_group_size=1
    )
    monkeypatch.setattr(_parquet_images, "GROUPS", 2)
    found = open_any(path)[1]
    for row in range(6):
        assert found.encoded(row) == IMAGES[row]
        assert len(found.encoded._groups) <= 2


def test_what_the_kit_writes(tmp_path, monkeypatch):
    people = {"Zoë": {"1.jpg": jpeg(1), "2.jpg": jpeg(2)}, "Ann": {"1.jpg": jpeg(3)}}
    src = folder(tmp_path / "src", people)
    monkeypatch.setattr(hf_parquet, "GROUP_ROWS", 1)
    monkeypatch.setattr(hf_parquet, "SHARD_BYTES", len(jpeg(1)) + len(jpeg(3)) + 400)
    convert(src, tmp_path / "out", None, "hf-parquet")
    made = sorted((tmp_path / "out" / "data").iterdir())
    assert [file.name for file in made] == [f"train-{n:05d}-of-00002.parquet" for n in range(2)]
    rows = [row for file in made for row in pq.read_table(file).to_pylist()]
    assert [(row["identity"], row["label"], row["image"]["path"]) for row in rows] == [
        ("Ann", 0, "Ann/1.jpg"),
        ("Zoë", 1, "Zoë/1.jpg"),
        ("Zoë", 1, "Zoë/2.jpg"),
    ]
    assert rows[2]["image"]["bytes"] == jpeg(2)


@pytest.mark.parametrize("twins", ["keep", "drop"])
def test_twins(tmp_path, faces, twins):  # noqa: F811  the fixture
    convert(faces, tmp_path / "w.parquet", None, None, twins)
    found = open_any(tmp_path / "w.parquet")[1]
    assert int(found.twins.sum()) == (3 if twins == "keep" else 0)
    if twins == "keep":
        assert shown(found) == shown(open_any(faces)[1])


def test_the_real_library(tmp_path):
    real = pytest.importorskip("datasets", reason="datasets is not installed")
    src = folder(tmp_path / "src", {"Ann": {"1.jpg": jpeg(1)}, "Bob": {"1.jpg": jpeg(2)}})
    convert(src, tmp_path / "out", None, "hf-parquet")
    opened = real.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert opened["identity"] == ["Ann", "Bob"] and opened[0]["image"].size == (112, 112)
    features = {"image": real.Image(), "label": real.ClassLabel(names=["Ann", "Bob"])}
    columns = {"image": [{"bytes": data, "path": None} for data in IMAGES], "label": [0, 1] * 3}
    made = real.Dataset.from_dict(columns, features=real.Features(features))
    made.to_parquet(str(tmp_path / "theirs.parquet"))
    found = open_any(tmp_path / "theirs.parquet")[1]
    assert people_of(found) == list(zip(["Ann", "Bob"] * 3, IMAGES, strict=True))


@pytest.mark.parametrize("double", ["image", "label"])
def test_a_column_that_comes_twice_is_refused(tmp_path, capsys, double):
    path = parquet(tmp_path / "a.parquet", {"image": STRUCT, "label": [1] * 6})
    table = pq.read_table(path)
    pq.write_table(table.append_column(double, table.column(double)), path)
    assert main(["convert", str(path), str(tmp_path / "out")]) == 2
    assert f"has 2 columns '{double}': keep one" in capsys.readouterr().err
