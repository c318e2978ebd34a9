"""A file of embeddings as a model: the same figures as from the model itself, and one clear line
where it does not fit the set.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfr_kit import cli
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.inputs.embedding_file import EmbeddingFile, read_rows
from mfr_kit.seeding import rng_for
from tests.evaluation.fakes import ColourEmbedder


@pytest.fixture
def embedded(colour_models, drawn_set, tmp_path):
    return drawn_set, embed_set(ColourEmbedder(), drawn_set)


def lists(keys, rows: np.ndarray, column: str = "key", kind=None) -> pa.Table:
    return pa.table(
        {column: list(keys), "embedding": pa.array(rows.tolist(), pa.list_(kind or pa.float32()))}
    )


def test_files_give_the_figures_of_the_model(embedded, tmp_path, capsys) -> None:
    """The parquet is shuffled and has a face too many; --people leaves out rows of the .npy."""
    faceset, rows = embedded
    np.save(tmp_path / "a.npy", rows.astype(np.float64))
    order = rng_for(1).permutation(len(rows))
    keys, more = [*faceset.keys[order], "faces/none.jpg"], np.concatenate([rows[order], rows[:1]])
    pq.write_table(lists(keys, more), tmp_path / "b.parquet")
    wide = {"name": keys, "note": ["x"] * len(keys)} | {
        f"e{column}": more[:, column] for column in range(more.shape[1])
    }
    pq.write_table(pa.table(wide), tmp_path / "c.parquet")
    (tmp_path / "some.txt").write_text("p01\np03\np04\n")
    files = [str(tmp_path / name) for name in ("a.npy", "b.parquet", "c.parquet")]
    flags = [
        "--data",
        str(tmp_path / "set"),
        "--people",
        str(tmp_path / "some.txt"),
        "--far",
        "0.3",
        "--resamples",
        "0",
    ]
    assert (
        cli.main(
            [
                "evaluate",
                "model",
                *files,
                *flags,
                "--gallery",
                files[0],
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 0
    ), capsys.readouterr()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [model["name"] for model in report["models"]] == [
        "model",
        "a.npy",
        "b.parquet",
        "c.parquet",
    ]
    assert len({model["fingerprint"] for model in report["models"]}) == 4
    assert "old-gallery-mask" in report["protocols"]
    for entry in report["protocols"].values():
        first, *others = entry["models"].values()
        assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rows: rows[1:], "47 rows for the 48 faces"),
        (lambda rows: rows.ravel(), "a matrix of floats"),
        (lambda rows: rows.astype(np.int64), "a matrix of floats"),
        (lambda rows: np.array([{"a": 1}] * 48, object), "cannot be read as .npy"),
    ],
)
def test_a_bad_npy_is_named(embedded, tmp_path, make, words: str) -> None:
    faceset, rows = embedded
    np.save(tmp_path / "a.npy", make(rows))
    with pytest.raises(KitError, match=words):
        EmbeddingFile(tmp_path / "a.npy", faceset.keys)


def test_a_bad_parquet_is_named(embedded, tmp_path) -> None:
    faceset, rows = embedded
    path = tmp_path / "a.parquet"
    ragged = pa.table({"key": ["a", "b"], "embedding": [[1.0, 2.0, 3.0], [1.0]]})
    for table, words in (
        (lists(faceset.keys, rows, "face"), "no column 'key'"),
        (lists(["a"] * len(rows), rows), "the key a stands there twice"),
        (lists(faceset.keys, rows.astype(int), kind=pa.int32()), "not floats"),
        (ragged, "not all of one length"),
        (
            pa.table(
                {"key": ["a"], "embedding": [None]},
                pa.schema([("key", pa.string()), ("embedding", pa.list_(pa.float32()))]),
            ),
            "empty",
        ),
        (pa.table({"key": ["a"]}), "0 columns that may be embeddings"),
        (pa.table({"key": ["a", "b"], "e0": [1.0, None], "e1": [1.0, 2]}), "'e0' has empty fields"),
        (lists([None, *faceset.keys[1:]], rows), "row 1 has no key"),
    ):
        pq.write_table(table, path)
        with pytest.raises(KitError, match=words):
            EmbeddingFile(path, faceset.keys)
    pq.write_table(lists(faceset.keys[2:], rows[2:]), path)
    with pytest.raises(
        KitError, match=f"no embedding of 2 of the 48 faces of set, as {faceset.keys[0]}"
    ):
        EmbeddingFile(path, faceset.keys).of(faceset)
    path.write_bytes(b"none")
    with pytest.raises(KitError, match="cannot be read as parquet"):
        EmbeddingFile(path, faceset.keys)


def wide(rows: np.ndarray, names=None, **more) -> pa.Table:
    names = names or [f"emb_{column}" for column in range(rows.shape[1])]
    columns = dict(zip(names, rows.T, strict=True))
    return pa.table({"key": [f"k{row}" for row in range(len(rows))], **columns, **more})


@pytest.mark.parametrize(
    ("make", "others"),
    [
        (lambda rows: wide(rows, quality=np.arange(5.0), label=[1, 2, 3, 4, 5]), "quality, label"),
        (
            lambda rows: wide(rows[:, ::-1], ["e12", "e11", *(f"e{n}" for n in range(10, 0, -1))]),
            "",
        ),
        (lambda rows: wide(rows, [f"dim{n:03d}" for n in range(12)]), ""),
        (lambda rows: wide(rows, [str(n) for n in range(12)], score=np.ones(5)), "score"),
        (lambda rows: wide(rows.astype(np.float16)), ""),
        (lambda rows: wide(rows, top1=np.ones(5)), "top1"),
        (lambda rows: wide(rows, photo1=["a"] * 5, photo2=["b"] * 5), ""),
        (lambda rows: lists([f"k{n}" for n in range(5)], rows, kind=pa.float16()), ""),
        (
            lambda rows: lists([f"k{n}" for n in range(5)], rows).append_column("q", [[1.0] * 5]),
            "q",
        ),
    ],
)
def test_only_the_dimensions_are_taken_and_in_their_order(tmp_path, capsys, make, others) -> None:
    rows = np.round(rng_for(4).normal(size=(5, 12)), 1).astype(np.float16).astype(np.float32)
    pq.write_table(make(rows), tmp_path / "a.parquet")
    found, names = read_rows(tmp_path / "a.parquet")
    np.testing.assert_array_equal(found, rows)
    assert names == [f"k{row}" for row in range(5)]
    said = capsys.readouterr().err
    assert said.strip().endswith(f"left out: {others}") if others else not said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rows: wide(rows[:, :3], ["a", "b", "c"]), "0 columns that may be embeddings"),
        (lambda rows: wide(rows[:, :3], ["e0", "e1", "e3"]), "a dimension is missing"),
        (lambda rows: wide(rows[:, :3], ["e1", "e01", "e2"]), "there twice"),
        (lambda rows: wide(rows[:, :3], ["e2", "e3", "e4"]), "from 0 or 1 on"),
        (lambda rows: wide(rows, x0=np.ones(5), x1=np.ones(5)), "2 columns that may be embeddings"),
        (lambda rows: wide(rows, landmarks=[[1.0, 2.0]] * 5), "2 columns that may be embeddings"),
        (lambda rows: wide(rows[:, :2], ["e0", "e1"], e2=[1, 2, 3, 4, 5]), "'e2' holds int64"),
        (
            lambda rows: lists("abcde", rows).append_column("more", [rows.tolist()]),
            "2 columns that may be embeddings",
        ),
    ],
)
def test_what_can_be_read_in_no_or_two_ways_is_refused(tmp_path, make, words) -> None:
    rows = rng_for(4).normal(size=(5, 12)).astype(np.float32)
    pq.write_table(make(rows), tmp_path / "a.parquet")
    with pytest.raises(KitError, match=words):
        read_rows(tmp_path / "a.parquet")


def test_embeddings_without_a_direction_are_named(embedded, tmp_path) -> None:
    faceset, rows = embedded
    for value, words in ((0, "an all-zero embedding"), (np.nan, "a non-finite embedding")):
        spoiled = rows.copy()
        spoiled[3] = value
        np.save(tmp_path / "a.npy", spoiled)
        with pytest.raises(KitError, match=f"a.npy gave {words} for {faceset.keys[3]}"):
            EmbeddingFile(tmp_path / "a.npy", faceset.keys).of(faceset)


def test_a_model_without_spread_has_no_d_prime(embedded, tmp_path, capsys) -> None:
    faceset, rows = embedded
    np.save(tmp_path / "a.npy", np.ones_like(rows) + 1e-6 * rows)
    flags = ["--data", str(faceset.folder), "--resamples", "0", "--far", "0.3"]
    out = tmp_path / "out"
    assert cli.main(["evaluate", str(tmp_path / "a.npy"), *flags, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    row = next(line.split() for line in shown.out.splitlines() if line.strip().startswith("a.npy"))
    assert "-" in row and "inf" not in shown.out and "collapsed" in shown.err
    report = json.loads((out / "report.json").read_text())
    found = [entry["models"]["a.npy"]["d_prime"] for entry in report["protocols"].values()]
    assert found and set(found) == {None}
    assert "<td>-</td>" in (out / "report.html").read_text()


def test_what_a_file_cannot_do_is_an_error_of_the_user(embedded, tmp_path, capsys) -> None:
    faceset, rows = embedded
    np.save(tmp_path / "a.npy", rows)
    flags = ["--data", str(faceset.folder), "--resamples", "0"]
    assert cli.main(["evaluate", str(tmp_path / "a.npy"), *flags, "--flip"]) == 2
    assert "nothing to mirror" in capsys.readouterr().err
    assert (
        cli.main(
            [
                "evaluate",
                str(tmp_path / "a.npy"),
                *flags,
                "--explain",
                "1",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert "a map needs the model" in capsys.readouterr().err
    assert cli.main(["evaluate", str(tmp_path / "none.npy"), *flags]) == 2
    assert "none.npy: cannot be read" in capsys.readouterr().err
