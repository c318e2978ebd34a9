"""RUN/progress.html and `kit.py watch`: what metrics.jsonl holds, for a reader."""

import html.parser
import json
import math
import re

import pytest

from mfr_kit import cli
from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.training import watch as room
from mfr_kit.training.distill import distill
from mfr_kit.training.run_page import PAGE, POINTS, write_page
from mfr_kit.training.watch import WatchOptions, describe


def write_run(folder, lines):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("", encoding="utf-8")
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


def line(step, loss=1.0, **more):
    return {"step": step, "loss": loss, "terms": {"fcd": loss}, "steps": 100, **more}


def measured(step, score):
    figures = {"masked": score - 0.1, "clean": score, "score": score, "far": 0.01}
    return {"step": step, "validation": figures}


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_has_curves_and_needs_nothing_else(tmp_path):
    lines = [line(1, 3.0), measured(10, 0.6), line(20, 1.5, left_s=200.0), measured(20, 0.8)]
    path = write_page(tmp_path, lines, 100)
    text = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.names.count("svg") == 2 and "script" not in tags.names and not tags.addresses
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert f"{tmp_path.name}: step 20 of 100" in text and 'value="20" max="100"' in text
    assert "0.8 at step 20" in text and "3 min 20 s" in text


def test_names_cannot_become_markup(tmp_path):
    bad = '<img src=x onerror="alert(1)">&'
    lines = [line(1, terms={bad: 1.0, "b": 2.0})]
    text = write_page(tmp_path / "<script>1<", lines, 100).read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert "img" not in tags.names and "script" not in tags.names
    assert "&lt;script&gt;" in text and "&lt;img" in text


def test_a_run_without_a_line_and_losses_that_are_no_number(tmp_path):
    assert "<svg" not in write_page(tmp_path, [], 5).read_text(encoding="utf-8")
    odd = [line(1, None), line(2, math.nan), line(3, 2.0)]
    assert write_page(tmp_path, odd, 5).read_text(encoding="utf-8").count("<svg") == 1


def test_a_single_point_is_seen(tmp_path):
    text = write_page(tmp_path, [line(50, 0.5)], 100).read_text(encoding="utf-8")
    (points,) = re.findall(r'<polyline class="line s0" points="([^"]*)"><title>', text)
    (left, height), (right, same) = (point.split(",") for point in points.split())
    assert float(right) > float(left) and height == same


def test_a_long_run_stays_a_small_page(tmp_path):
    lines = [line(step, 1 / step) for step in range(1, 20_001)]
    text = write_page(tmp_path, lines, 20_000).read_text(encoding="utf-8")
    assert len(text) < 100 * POINTS


def test_a_run_keeps_its_page_renewed(make_options, val_folder, tmp_path):
    held = tmp_path / "val.txt"
    lists.write_names(held, sorted(FaceSet.open(val_folder).people)[:12])
    options = make_options(
        data=val_folder, val_people=held, val_every=2, steps=4, batch_size=4, log_every=2
    )
    distill(options)
    text = (options.out / PAGE).read_text(encoding="utf-8")
    assert "step 4 of 4" in text and text.count("<svg") == 2
    (last,) = (
        row
        for row in map(json.loads, (options.out / "metrics.jsonl").read_text().splitlines())
        if row["step"] == 4 and "loss" in row
    )
    assert last["steps"] == 4 and last["left_s"] >= 0


def test_watch_says_the_last_lines(tmp_path, capsys):
    run = write_run(
        tmp_path / "run",
        [line(1), line(2, 0.5, learning_rate=0.01, images_per_s=40.0, left_s=61), measured(2, 0.9)],
    )
    assert cli.main(["watch", str(run), "--lines", "2"]) == 0
    first, second, state = capsys.readouterr().out.splitlines()
    assert first == ("step 2 of 100: loss 0.5, learning rate 0.01, 40 faces/s, 1 min 01 s left")
    assert second == "step 2: validation masked 0.8, clean 0.9, score 0.9, far 0.01"
    assert state.startswith(f"{run}: not done; its last line is ")
    (run / "student.pt").write_bytes(b"")
    assert cli.main(["watch", str(run), "--lines", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"done, {run}/student.pt is written")


def test_watch_follows_until_the_run_is_done(tmp_path):
    run = write_run(tmp_path / "run", [line(1)])
    waits = []

    def wait(seconds):
        waits.append(seconds)
        with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line(1 + len(waits))) + "\n")
        if len(waits) == 3:
            (run / "student.pt").write_bytes(b"")

    shown = list(room.watch(WatchOptions(run=run, follow=True), wait))
    assert [text.split(":")[0] for text in shown[:-1]] == [f"step {n} of 100" for n in (1, 2, 3, 4)]
    assert "done" in shown[-1] and len(waits) == 3


def test_watch_refuses_what_is_no_run(tmp_path):
    with pytest.raises(KitError, match=r"no run of `kit.py distill` is there"):
        list(room.watch(WatchOptions(run=tmp_path)))


def test_a_line_of_several_terms_names_each():
    shown = describe(line(7, 0.75, terms={"fcd": 0.5, "rad": 0.25}))
    assert shown == "step 7 of 100: loss 0.75, fcd 0.5, rad 0.25"
