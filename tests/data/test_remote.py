"""Sets behind URLs: a real S3 server on this machine (moto's), and one of http, with range requests
and without.
"""

import functools
import http.server
import os
import pickle
import re
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit import block_cache, network_errors, remote
from mfr_kit.cli import main
from mfr_kit.data.convert import convert, open_any
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.record_ranges import open_records
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.data.recordio import MAGIC_BYTES, pack
from mfr_kit.errors import KitError, SetError
from mfr_kit.masks.drawn_set import draw_face_set
from tests.data.test_convert_masked import faces, shown  # noqa: F401  a fixture
from tests.data.test_formats import jpeg

MISSING = "pip install -r requirements-dev.txt"


class Ranged(http.server.SimpleHTTPRequestHandler):
    """Python's server, and ranges."""

    def log_message(self, *_):
        pass

    def send_header(self, keyword, value):
        if self.server.says_when or keyword != "Last-Modified":
            super().send_header(keyword, value)

    def do_HEAD(self):
        if self.path in self.server.answers:
            return self.send_error(self.server.answers[self.path])
        return super().do_HEAD()

    def do_GET(self):
        if self.path in self.server.answers:
            return self.send_error(self.server.answers[self.path])
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        self.server.asked.append((self.path, self.headers.get("Range")))
        fails_from = self.server.fails_from
        fails = fails_from is not None and wanted and int(wanted[1]) >= fails_from
        if fails and self.server.failures:
            self.server.failures -= 1
            return self.send_error(503)
        if not wanted or not self.server.ranges or not path.is_file():
            return super().do_GET()
        data = path.read_bytes()
        part = data[int(wanted[1]) : int(wanted[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {wanted[1]}-{wanted[2]}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)
        return None


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def web(tmp_path):
    """A server of tmp_path/web with ranges; `web.ranges = False` takes them away."""
    pytest.importorskip("aiohttp", reason=MISSING)
    (tmp_path / "web").mkdir()
    handler = functools.partial(Ranged, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.ranges, server.says_when, server.asked = True, True, []
        server.fails_from, server.failures, server.answers = None, 1000, {}
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def s3():
    pytest.importorskip("s3fs", reason=MISSING)
    server = pytest.importorskip("moto.server", reason=MISSING).ThreadedMotoServer(
        "127.0.0.1", 0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        import s3fs

        system = s3fs.S3FileSystem(skip_instance_cache=True)
        system.mkdir("sets")
        yield system
    server.stop()


@pytest.fixture
def put(s3):
    """Lay a folder into the bucket and give its URL."""

    def lay(folder, name):
        s3.put(f"{folder}/", f"sets/{name}/", recursive=True)
        return f"s3://sets/{name}"

    return lay


def equal(found: FaceSet, wanted: FaceSet) -> None:
    assert found.table.to_pylist() == wanted.table.to_pylist() and len(found) == len(wanted)
    assert [found.encoded(row) for row in range(len(found))] == [
        wanted.encoded(row) for row in range(len(wanted))
    ]
    assert found.fingerprint == wanted.fingerprint and found.skipped == wanted.skipped
    assert found.name == wanted.name


@pytest.mark.parametrize("form", ["face-set", "face-set-records"])
def test_a_face_set_in_a_bucket_is_the_one_on_the_disk(tmp_path, faces, put, form):  # noqa: F811
    convert(faces, tmp_path / form, None, form)
    url = put(tmp_path / form, form)
    found = FaceSet(url)
    equal(found, FaceSet(tmp_path / form))
    equal(FaceSet(Path(url)), FaceSet(tmp_path / form))
    again = pickle.loads(pickle.dumps(found))
    assert again.image(2).shape == (112, 112, 3)
    assert (
        convert(url, tmp_path / "back.rec", twins="keep").digest
        == convert(tmp_path / form, tmp_path / "two" / "back.rec", twins="keep").digest
    )


def test_a_rec_in_a_bucket_is_the_one_on_the_disk(tmp_path, faces, put):  # noqa: F811
    convert(faces, tmp_path / "r" / "train.rec", twins="keep")
    url = put(tmp_path / "r", "r") + "/train.rec"
    chosen, found = open_any(Path(url))
    assert chosen == "recordio" and shown(found) == shown(open_any(tmp_path / "r" / "train.rec")[1])
    assert main(["convert", url, str(tmp_path / "people"), "--twins", "keep"]) == 0
    assert sorted(item.name for item in (tmp_path / "people").iterdir()) == ["Ann", "Bob"]


def test_shards_of_a_set_know_their_masked_faces(tmp_path, faces, put):  # noqa: F811
    convert(faces, tmp_path / "records", None, "face-set-records")
    url = put(tmp_path / "records", "shards")
    assert shown(open_any(f"{url}/faces-00000.rec")[1]) == shown(open_any(faces)[1])


def records_of(folder, payloads, step=1):
    with RecordWriter(folder / "a.rec") as writer:
        for key, payload in enumerate(payloads):
            writer.write(key * step, payload)
    return folder / "a.rec"


@pytest.mark.parametrize("step", [1, 3])
def test_records_of_every_length_and_number_of_parts(tmp_path, put, step, monkeypatch):
    monkeypatch.setenv(block_cache.BLOCK, "1")
    random = np.random.default_rng(0)
    payloads = [random.bytes(int(size)) for size in random.integers(0, 3000, 40)]
    payloads += [b"", MAGIC_BYTES, b"abcd" + MAGIC_BYTES * 2 + b"x", random.bytes(50_000)]
    path = records_of(tmp_path / "r", payloads, step)
    local = RecordReader(path)
    url = put(tmp_path / "r", f"parts{step}")
    found = remote.localise(url, []) / "a.rec"
    opened = pickle.loads(pickle.dumps(open_records(found)))
    assert list(opened.keys) == list(local.keys)
    for key in random.permutation(local.keys).tolist():
        assert opened.read(key) == local.read(key)
    assert [(key, bytes(data)) for key, data in opened] == [
        (key, bytes(data)) for key, data in local
    ]
    with pytest.raises(KitError, match="there is no key 1000"):
        opened.read(1000)


def test_only_what_is_asked_for_is_read_and_only_once(tmp_path, web, monkeypatch):
    monkeypatch.setenv(block_cache.BLOCK, str(10_000 / 1024))
    payloads = [pack(0, bytes([number]) * 5000) for number in range(60)]
    records_of(tmp_path / "web", payloads)
    opened = open_records(remote.localise(web.url, []) / "a.rec")
    for _ in range(2):
        for key in (30, 31, 30):
            assert opened.read(key) == payloads[key]
    blocks = [asked for path, asked in web.asked if path == "/a.rec" and asked]
    assert len(blocks) == 1 + 2  # the server is tried once; then two blocks hold both records
    assert [path for path, _ in web.asked].count("/a.idx") == 1
    open_records(remote.localise(web.url, []) / "a.rec").read(30)
    assert [path for path, _ in web.asked].count("/a.idx") == 1  # its state has not changed


@pytest.mark.parametrize("step", [1, 3])
def test_a_record_over_several_blocks_is_one_request(tmp_path, web, monkeypatch, step):
    monkeypatch.setenv(block_cache.BLOCK, "4")
    payloads = [pack(0, bytes([number]) * 9000) for number in range(20)]
    records_of(tmp_path / "web", payloads, step)
    opened = open_records(remote.localise(web.url, []) / "a.rec")
    web.asked.clear()
    for row in (3, 11, 19, 3):
        assert opened.read(row * step) == payloads[row]
    assert len(web.asked) == 3
    assert opened.read(4 * step) == payloads[4] and len(web.asked) == 4


def test_what_was_changed_is_downloaded_anew(tmp_path, faces, web):  # noqa: F811
    shutil.copytree(faces, tmp_path / "web" / "set")
    first = FaceSet(f"{web.url}/set")
    assert len(first) == 7 and first.encoded(0) == jpeg(0)
    convert(faces, tmp_path / "fewer", None, "face-set", "drop")
    shutil.rmtree(tmp_path / "web" / "set")
    shutil.copytree(tmp_path / "fewer", tmp_path / "web" / "set")
    os.utime(tmp_path / "web" / "set" / "faces.parquet", (1, 1))
    second = FaceSet(f"{web.url}/set")
    assert len(second) == 4 and [second.encoded(row) for row in range(4)] == [
        FaceSet(tmp_path / "fewer").encoded(row) for row in range(4)
    ]


def test_what_a_server_gives_no_time_of_is_read_anew(tmp_path, web):
    web.says_when = False
    payloads = [pack(0, jpeg(1)), pack(0, jpeg(2))]
    for order in (payloads, payloads[::-1]):
        records_of(tmp_path / "web", order)
        opened = open_records(remote.localise(web.url, []) / "a.rec")
        assert [opened.read(key) for key in (0, 1)] == order
    assert [path for path, _ in web.asked].count("/a.idx") == 2


def test_a_network_that_fails_leaves_out_no_photograph(tmp_path, web, capsys, monkeypatch):
    monkeypatch.setenv(block_cache.BLOCK, str(10_000 / 1024))
    monkeypatch.setattr(network_errors.time, "sleep", lambda seconds: None)
    rng, payloads = np.random.default_rng(0), []
    for number in range(30):
        data = cv2.imencode(".png", rng.integers(0, 256, (32, 32, 3), np.uint8))[1].tobytes()
        payloads.append(pack(number % 3, data))
    records_of(tmp_path / "web", payloads)
    web.fails_from = 60_000
    err = one_line(capsys, ["convert", f"{web.url}/a.rec", str(tmp_path / "out")])
    assert f"{web.url}/a.rec" in err and not (tmp_path / "out").exists()
    web.fails_from = None
    assert convert(f"{web.url}/a.rec", tmp_path / "out").photographs == 30


def test_a_read_that_was_interrupted_is_tried_again(tmp_path, web, monkeypatch):
    monkeypatch.setattr(network_errors.time, "sleep", lambda seconds: None)
    payloads = [pack(0, jpeg(1))]
    records_of(tmp_path / "web", payloads)
    opened = open_records(remote.localise(web.url, []) / "a.rec")
    web.fails_from, web.failures = 0, 2
    assert opened.read(0) == payloads[0]


def test_the_cache_keeps_its_limit(tmp_path, web, home, monkeypatch):
    monkeypatch.setenv(block_cache.BLOCK, str(10_000 / 1024))
    monkeypatch.setenv(block_cache.LIMIT, "0.0002")
    payloads = [pack(0, bytes([number]) * 5000) for number in range(200)]
    records_of(tmp_path / "web", payloads)
    opened = open_records(remote.localise(web.url, []) / "a.rec")
    for key in range(200):
        assert opened.read(key) == payloads[key]
        opened.read(0)  # what is used stays
        kept = sum(path.stat().st_size for path in (home / "remote" / ".blocks").glob("*/*"))
        assert kept <= 200_000 + 200_000 // 32 + 10_000
    asked = [wanted for path, wanted in web.asked if path == "/a.rec" and wanted]
    assert asked.count("bytes=0-9999") == 1
    monkeypatch.setenv(block_cache.LIMIT, "much")
    with pytest.raises(KitError, match="MFR_KIT_REMOTE_CACHE_GB=much: give a number"):
        opened.read(0)


def test_workers_and_threads_read_it(tmp_path, faces, put):  # noqa: F811
    torch = pytest.importorskip("torch")
    convert(faces, tmp_path / "records", None, "face-set-records")
    found = FaceSet(put(tmp_path / "records", "workers"))
    wanted = FaceSet(tmp_path / "records")
    found.encoded(0)  # the network is in use before workers are forked
    for batch in (found, wanted):
        batch.transform = None
    loader = torch.utils.data.DataLoader(found, batch_size=2, num_workers=2)
    images = torch.cat([images for images, _ in loader]).numpy()
    assert (images == np.stack([wanted.image(row) for row in range(len(wanted))])).all()


ODD_URLS = ["s3://sets/../x", "s3://sets//x", "https://host/x?key=1"]


@pytest.mark.parametrize("url", ODD_URLS)
def test_urls_that_name_no_place(url):
    with pytest.raises(KitError, match="a URL without empty parts"):
        remote.localise(url, ["a"])


def one_line(capsys, command):
    assert main(command) == 2
    err = capsys.readouterr().err.strip()
    assert len(err.splitlines()) == 1, err
    return err


def test_what_goes_wrong_is_one_line(tmp_path, s3, capsys, monkeypatch, put, faces):  # noqa: F811
    out = str(tmp_path / "out")
    bucket = one_line(capsys, ["convert", "s3://no-such-bucket/set", out])
    assert "s3://no-such-bucket/set" in bucket and "bucket" in bucket.lower()
    assert "no faces.parquet" in one_line(capsys, ["convert", "s3://sets/nothing", out])
    assert "nothing to read" in one_line(capsys, ["convert", "s3://sets/nothing/a.rec", out])
    assert "only face sets and .rec files" in one_line(capsys, ["convert", "s3://sets/a.tar", out])
    to_bucket = one_line(capsys, ["convert", str(faces), "s3://sets/new"])
    assert "outputs are written to this machine" in to_bucket
    url = put(tmp_path / "set", "lost")
    found = FaceSet(url)
    s3.rm("sets/lost/faces/Ann/1.jpg")
    with pytest.raises(KitError, match=r"Ann/1\.jpg: there is nothing to read"):
        found.encoded(0)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3.clear_instance_cache()
    assert "no credentials" in one_line(capsys, ["convert", "s3://sets/lost", out])
    s3.clear_instance_cache()


def test_a_rec_without_an_index_is_refused(tmp_path, put, capsys):
    records_of(tmp_path / "r", [pack(0, jpeg(1))]).with_suffix(".idx").unlink()
    url = put(tmp_path / "r", "bare")
    assert "no a.idx lies beside it" in one_line(
        capsys, ["convert", f"{url}/a.rec", str(tmp_path / "o")]
    )


def test_damaged_records_name_the_url(tmp_path, put):
    path = records_of(tmp_path / "r", [pack(0, jpeg(1)), pack(0, jpeg(2))])
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    opened = open_records(remote.localise(put(tmp_path / "r", "damaged"), []) / "a.rec")
    with pytest.raises(KitError, match=r"s3://sets/damaged/a\.rec: key 0, offset 0: no whole"):
        opened.read(0)
    assert len(opened.read(1)) > 100


def test_a_server_without_ranges(tmp_path, web, faces, capsys):  # noqa: F811
    convert(faces, tmp_path / "web" / "records", None, "face-set-records")
    shutil.copytree(faces, tmp_path / "web" / "files")
    web.ranges = False
    err = one_line(capsys, ["convert", f"{web.url}/records/faces-00000.rec", str(tmp_path / "o")])
    assert "answers no range requests" in err and "download the set" in err
    equal(FaceSet(f"{web.url}/files"), FaceSet(tmp_path / "web" / "files"))


def test_a_server_that_is_not_there(tmp_path, web, capsys):
    web.shutdown()
    web.server_close()
    err = one_line(capsys, ["convert", f"{web.url}/set", str(tmp_path / "o")])
    assert f"{web.url}/set/faces.parquet: there is nothing to read" in err
    assert "onnect" in err


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_table_is_left_out_only_where_it_is_not_there(tmp_path, web, faces, status):  # noqa: F811
    shutil.copytree(faces, tmp_path / "web" / "set")
    web.answers = {"/set/skipped.csv": status}
    if status == 404:
        assert FaceSet(f"{web.url}/set").skipped == []
        web.answers = {}
        assert len(FaceSet(f"{web.url}/set").skipped) == 1
        return
    with pytest.raises(SetError, match=rf"skipped\.csv: .*{status}"):
        FaceSet(f"{web.url}/set")


@pytest.mark.parametrize(("url", "extra"), [("s3://b/set", "remote"), ("gs://b/set", "gcs")])
def test_a_missing_package_names_the_extra(tmp_path, capsys, monkeypatch, url, extra):
    import fsspec

    def missing(scheme):
        raise ImportError(f"Install something to access {scheme}")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    err = one_line(capsys, ["convert", url, str(tmp_path / "o")])
    assert f"pip install 'mfr-kit[{extra}]'" in err


def test_paths_of_this_machine_are_no_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("s3", "s3:", "a/s3:/b", "https", "c:/x", "file:/x", "./s3:/b", "s3:x"):
        assert remote.localise(name, ["faces.parquet"]) == Path(name)


@pytest.mark.slow
def test_training_on_a_bucket_gives_the_weights_of_the_disk(tmp_path, put):
    draw_face_set(tmp_path / "set", people=6, photos=4)
    convert(tmp_path / "set", tmp_path / "records", None, "face-set-records")
    weights = []
    for data in (put(tmp_path / "records", "train"), str(tmp_path / "records")):
        out = tmp_path / f"run{len(weights)}"
        command = ["distill", "--data", data, "--out", str(out), "--method", "kd", "--epochs", "1"]
        assert main([*command, "--batch-size", "8", "--workers", "2", "--device", "cpu"]) == 0
        weights.append((out / "student.pt").read_bytes())
    assert weights[0] == weights[1]
