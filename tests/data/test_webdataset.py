"""WebDataset's tar files: what others put into them, what is damaged, and what the kit writes."""

import csv
import io
import json
import tarfile

import pytest

from mfr_kit.cli import main
from mfr_kit.data.convert import convert, open_any
from mfr_kit.data.formats import webdataset
from tests.data.test_convert_masked import faces, shown  # noqa: F401  a fixture
from tests.data.test_convert_odd import folder
from tests.data.test_formats import jpeg


def tar(path, members, format=tarfile.PAX_FORMAT):
    """Write (name, bytes or TarInfo) pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, content in members:
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                archive.addfile(member)
    return path


def people_of(source):
    return [(source.person(row), source.encoded(row)) for row in range(len(source))]


LABELS = [
    ({"cls": b"3\n"}, "3"),
    ({"cls": b"Ann"}, "Ann"),
    ({"json": b'{"label": 7}'}, "7"),
    ({"json": b'{"identity": "Bob", "label": 7}', "cls": b"9"}, "Bob"),
    ({"json": b'{"label": 7}', "cls": b"9"}, "9"),
    ({"json": b'{"caption": "a face"}', "txt": b"words", "cls": b"0"}, "0"),
]


@pytest.mark.parametrize(("texts", "person"), LABELS)
@pytest.mark.parametrize("suffix", ["jpg", "PNG", "seg.jpeg"])
def test_labels_as_others_write_them(tmp_path, texts, person, suffix):
    image = jpeg(1, suffix=".png" if suffix == "PNG" else ".jpg")
    members = [(f"train/0001.{suffix}", image)]
    members += [(f"train/0001.{name}", text) for name, text in texts.items()]
    name, found = open_any(tar(tmp_path / "a.tar", members))
    assert name == "webdataset" and people_of(found) == [(person, image)]
    assert found.skipped == ()


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_of_every_kind_of_tar(tmp_path, format):
    key = "a" * 90 + "/" + "b" * 90
    found = open_any(
        tar(tmp_path / "a.tar", [(f"{key}.jpg", jpeg(1)), (f"{key}.cls", b"1")], format)
    )
    assert found[1].names == [f"{key}.jpg"] and people_of(found[1]) == [("1", jpeg(1))]


def test_what_is_no_photograph_of_somebody_is_counted_and_named(tmp_path, capsys):
    link = tarfile.TarInfo("link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    inner = tarfile.TarInfo("folder")
    inner.type = tarfile.DIRTYPE
    members = [("folder", inner), ("a.jpg", jpeg(1)), ("a.cls", b"1"), ("b.jpg", jpeg(2))]
    members += [("c.txt", b"words"), ("c.cls", b"1"), ("link.jpg", link), ("._d.jpg", b"\0")]
    members += [("__MACOSX/e.jpg", b"\0"), ("f.jpg", b"<html>"), ("f.cls", b"2"), ("README", b"x")]
    members += [("g.jpg", jpeg(3)), ("g.json", b"{broken"), ("h.jpg", b""), ("h.cls", b"1")]
    src = tar(tmp_path / "a.tar", members)
    assert main(["convert", str(src), str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "9 files left out" in text and "read back equal: 1 photographs, 1 people" in text
    with (tmp_path / "out.skipped.csv").open(newline="") as file:
        reasons = {row["source"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons == {
        "b.jpg": "no_person",
        "g.jpg": "no_person",
        "c": "not_an_image",
        "README": "not_an_image",
        "link.jpg": "not_a_file",
        "._d.jpg": "hidden",
        "__MACOSX/e.jpg": "hidden",
        "f.jpg": "unreadable",
        "h.jpg": "unreadable",
    }


def test_a_set_without_any_label_is_one_unknown_person(tmp_path, capsys):
    src = tar(tmp_path / "a.tar", [("a.jpg", jpeg(1)), ("b.jpg", jpeg(2))])
    assert main(["convert", str(src), str(tmp_path / "out")]) == 0
    assert "no photograph has a label (KEY.cls" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "unlabelled").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../a.jpg", "points outside of the archive"),
        ("/etc/a.jpg", "points outside of the archive"),
        ("a/../../b.jpg", "points outside of the archive"),
        ("..\\a.jpg", "points outside of the archive"),
    ],
)
def test_names_that_point_outside_are_refused(tmp_path, capsys, name, message):
    src = tar(tmp_path / "a.tar", [("a.jpg", jpeg(1)), ("a.cls", b"1"), (name, jpeg(2))])
    assert main(["convert", str(src), str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.tar"]


@pytest.fixture
def whole(tmp_path):
    members = [
        (f"{n}.{kind}", data)
        for n in range(4)
        for kind, data in (("jpg", jpeg(n)), ("cls", b"%d" % n))
    ]
    return tar(tmp_path / "a.tar", members)


@pytest.mark.slow
def test_an_archive_cut_anywhere_is_refused(tmp_path, whole, capsys):
    data = whole.read_bytes()
    with tarfile.open(whole) as archive:
        end = max(member.offset_data + 512 for member in archive)
    for length in [*range(0, end, 512), 100, 700, end - 1]:
        cut = tmp_path / "cut.tar"
        cut.write_bytes(data[:length])
        assert main(["convert", str(cut), str(tmp_path / "out")]) == 2, length
        err = capsys.readouterr().err
        assert "cut.tar" in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_header_is_refused(tmp_path, whole, capsys):
    data = bytearray(whole.read_bytes())
    with tarfile.open(whole) as archive:
        headers = [member.offset for member in archive]
    for at in headers:
        bad = bytearray(data)
        bad[at + 150] ^= 0x55  # inside the checksum
        (tmp_path / "bad.tar").write_bytes(bad)
        assert main(["convert", str(tmp_path / "bad.tar"), str(tmp_path / "out")]) == 2
        assert "bad.tar" in capsys.readouterr().err


def test_a_name_that_stands_twice_in_a_sample_is_listed(tmp_path):
    members = [("a.jpg", jpeg(1)), ("a.jpg", jpeg(2)), ("a.cls", b"1")]
    found = open_any(tar(tmp_path / "a.tar", members))[1]
    assert people_of(found) == [("1", jpeg(1))]
    assert [(row["source"], row["reason"]) for row in found.skipped] == [("a.jpg", "bad_name")]


def test_sparse_members_are_refused(tmp_path, capsys):
    member = tarfile.TarInfo("a.jpg")
    member.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": "9999"}
    data = tarfile.TarInfo.tobuf(member, tarfile.PAX_FORMAT) + bytes(1024)
    (tmp_path / "a.tar").write_bytes(data)
    assert main(["convert", str(tmp_path / "a.tar"), str(tmp_path / "out")]) == 2
    assert "'a.jpg' is a sparse file" in capsys.readouterr().err


def test_a_member_of_fewer_than_no_bytes_is_refused(tmp_path, capsys):
    member = tarfile.TarInfo("a.json")
    member.size = -1
    data = tarfile.TarInfo.tobuf(member, tarfile.GNU_FORMAT) + bytes(1024)
    (tmp_path / "a.tar").write_bytes(data)
    assert main(["convert", str(tmp_path / "a.tar"), str(tmp_path / "out")]) == 2
    assert "'a.json' has -1 bytes" in capsys.readouterr().err


def test_compressed_archives_are_refused_with_what_to_do(tmp_path, whole, capsys):
    with tarfile.open(tmp_path / "z.tar", "w:gz") as archive:
        archive.add(whole, "a.jpg")
    assert main(["convert", str(tmp_path / "z.tar"), str(tmp_path / "out")]) == 2
    assert "unpack it with gunzip" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["s", "s/s-*.tar", "s/s-{000..002}.tar"])
def test_several_shards_are_one_set(tmp_path, name):
    for shard in range(3):
        tar(tmp_path / "s" / f"s-{shard:03d}.tar", [("a.jpg", jpeg(shard)), ("a.cls", b"5")])
    chosen, found = open_any(tmp_path / name)
    assert chosen == "webdataset"
    assert people_of(found) == [("5", jpeg(shard)) for shard in range(3)]


def test_a_missing_shard_of_a_range_is_named(tmp_path, capsys, whole):
    assert main(["convert", str(tmp_path / "a{0..1}.tar"), str(tmp_path / "out")]) == 2
    assert "a0.tar" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "b-*.tar"), str(tmp_path / "out")]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_a_folder_of_people_with_an_archive_in_it_stays_one(tmp_path):
    src = folder(tmp_path / "src", {"Ann": {"1.jpg": jpeg(1)}})
    tar(src / "backup.tar", [("a.jpg", jpeg(1))])
    assert open_any(src)[0] == "folder"


def test_shards_end_and_the_same_set_gives_the_same_bytes(tmp_path, monkeypatch):
    src = folder(tmp_path / "src", {"Ann": {f"{n}.jpg": jpeg(n) for n in range(5)}})
    monkeypatch.setattr(webdataset, "SHARD_PHOTOGRAPHS", 2)
    for name in ("one", "two"):
        convert(src, tmp_path / name / "w", None, "webdataset")
    made = sorted((tmp_path / "one" / "w").iterdir())
    assert [file.name for file in made] == [f"w-{shard:06d}.tar" for shard in range(3)]
    for file in made:
        assert file.read_bytes() == (tmp_path / "two" / "w" / file.name).read_bytes()
    with tarfile.open(made[1]) as archive:
        assert archive.getnames()[:3] == ["000000002.jpg", "000000002.cls", "000000002.json"]
        about = json.load(archive.extractfile("000000002.json"))
    assert about == {"identity": "Ann", "label": 0, "path": "Ann/2.jpg"}


@pytest.mark.parametrize("twins", ["keep", "drop"])
def test_twins(tmp_path, faces, twins):  # noqa: F811  the fixture
    convert(faces, tmp_path / "w.tar", None, None, twins)
    found = open_any(tmp_path / "w.tar")[1]
    assert len(found) == (7 if twins == "keep" else 4)
    if twins == "keep":
        assert shown(found) == shown(open_any(faces)[1])
    assert int(found.twins.sum()) == (3 if twins == "keep" else 0)


def test_the_real_library_reads_what_the_kit_writes(tmp_path):
    real = pytest.importorskip("webdataset", reason="webdataset is not installed")
    images = {"Ann/1.jpg": jpeg(1), "Zoë/1.png": jpeg(2, suffix=".png")}
    for name, data in images.items():
        (tmp_path / "src" / name).parent.mkdir(parents=True)
        (tmp_path / "src" / name).write_bytes(data)
    convert(tmp_path / "src", tmp_path / "w.tar")
    opened = real.WebDataset(str(tmp_path / "w.tar"), shardshuffle=False)
    first, second = list(opened)
    assert (first["jpg"], second["png"]) == tuple(images.values())
    decoded = [(sample["cls"], sample["json"]["identity"]) for sample in opened.decode()]
    assert decoded == [(0, "Ann"), (1, "Zoë")]


def test_the_kit_reads_what_the_real_library_writes(tmp_path):
    real = pytest.importorskip("webdataset", reason="webdataset is not installed")
    (tmp_path / "w").mkdir()
    with real.ShardWriter(str(tmp_path / "w" / "w-%03d.tar"), maxcount=2, verbose=0) as sink:
        for row in range(5):
            sink.write({"__key__": f"face{row:04d}", "jpg": jpeg(row), "cls": row // 2})
    found = people_of(open_any(tmp_path / "w")[1])
    assert found == [(str(row // 2), jpeg(row)) for row in range(5)]
