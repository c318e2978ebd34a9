"""`kit.py evaluate` from flags to files: the page says what the JSON says, needs nothing beside
it, and opens in a browser.
"""

import base64
import csv
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import decode_rgb
from mfr_kit.evaluation.inputs.drawn_masks import MaskedFaces
from mfr_kit.evaluation.report import page as report_page
from mfr_kit.evaluation.report import plot
from tests.conftest import write_faceset

FARS = ["--far", "0.4", "--far", "0.2", "--far", "0.01"]


@pytest.fixture
def evaluated(colour_models, tmp_path, capsys):
    write_faceset(tmp_path / "set", people=8)

    def call(*arguments: str) -> tuple[int, str]:
        code = cli.main(
            ["evaluate", *arguments, "--data", str(tmp_path / "set"), "--resamples", "30"]
        )
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def read(folder) -> tuple[dict, str]:
    return json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()


def results(report: dict) -> list[dict]:
    return [result for entry in report["protocols"].values() for result in entry["models"].values()]


def test_two_models_side_by_side(evaluated, tmp_path) -> None:
    code, text = evaluated("whole", "upper", *FARS, "--out", str(tmp_path / "out"))
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["schema"] == "mfr-kit/evaluation/1" and [
        model["name"] for model in report["models"]
    ] == ["whole", "upper"]
    assert list(report["protocols"]) == [
        "nonmask-nonmask",
        "mask-nonmask",
        "mask-mask",
        "fixed-threshold",
    ]
    masked = report["protocols"]["mask-nonmask"]["models"]
    whole, upper = (masked[name]["tar_at_far"][0] for name in ("whole", "upper"))
    assert upper["tar"] > whole["tar"], "the lower half is painted over in masked faces"
    assert f"{100 * upper['tar']:.2f} (" in text and "upper minus whole at FAR 0.4" in text
    assert "[1] only " in text and masked["whole"]["tar_at_far"][2]["tar"] is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        f"{100 * upper['tar']:.2f} %" in page
        and report["set"]["fingerprint"] in page
        and "no claim" in page
    )
    summary = page[page.index('id="summary"') : page.index("<section")]
    assert "more or less than whole, measured" in summary
    for row in report["protocols"]["mask-nonmask"]["differences"]:
        assert (
            f"<small>{100 * row['tar_difference']:+.2f} ({100 * row['interval']['low']:+.2f} to "
            in summary
        )
    with (tmp_path / "out" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (
        len(rows) == 4 * 2 * 3
        and float(rows[0]["tar"])
        == report["protocols"]["nonmask-nonmask"]["models"]["whole"]["tar_at_far"][0]["tar"]
    )


@pytest.mark.parametrize(
    ("least", "first"),
    [(0.0, 0.0), (0.31, 0.2), (0.79, 0.7), (0.886, 0.85), (0.991, 0.98), (1.0, 0.98)],
)
def test_the_roc_begins_a_little_below_its_lowest_point(least, first) -> None:
    axis = plot.percents("TAR", least)
    assert (
        axis.ticks[0] == pytest.approx(first)
        and axis.ticks[-1] == pytest.approx(1)
        and len(axis.ticks) >= 2
    )


def test_the_page_is_whole_and_needs_nothing_beside_it(evaluated, tmp_path) -> None:
    evaluated("whole", "<b>&", *FARS, "--out", str(tmp_path / "out"))
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        not re.search(r"https?://|<script|src=(?!\"data:image/jpeg;base64,)|@import|url\(", page)
        and "<b>&" not in page
    )
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) == 4 * (2 + 2 + 2)
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "nan" not in drawing.lower()
    _Balanced().feed(page)


class _Balanced(HTMLParser):
    """Fails on a tag that is closed out of turn, and on what runs or fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs), attrs
        assert tag not in ("script", "iframe", "object", "link", "form", "base"), tag
        if tag not in ("meta", "br", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        pass

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def errors_of(report: dict) -> list[dict]:
    return [
        row
        for entry in report["protocols"].values()
        for result in entry["models"].values()
        if result.get("worst")
        for row in result["worst"]["false_matches"] + result["worst"]["false_non_matches"]
    ]


def test_the_worst_errors_are_shown_as_pictures_of_the_named_files(evaluated, tmp_path) -> None:
    code, text = evaluated("whole", "upper", *FARS, "--out", str(tmp_path / "out"))
    assert code == 0, text
    report, page = read(tmp_path / "out")
    named = errors_of(report)
    assert named and all(
        len(result["worst"]["false_matches"]) <= 20 for result in results(report) if result["worst"]
    )
    for result in results(report):
        claimed = [row for row in result["tar_at_far"] if row["tar"] is not None]
        assert result["worst"]["far"] == min(row["far"] for row in claimed)
        assert all(
            row["score"] >= result["worst"]["threshold"] for row in result["worst"]["false_matches"]
        )
        assert all(
            row["score"] < result["worst"]["threshold"]
            for row in result["worst"]["false_non_matches"]
        )
    assert [float(value) for value in re.findall(r'data-score="([^"]*)"', page)] == [
        row["score"] for row in named
    ]
    pictures = re.findall(
        r'<img src="data:image/jpeg;base64,([^"]*)"[^>]*alt="(?:probe|gallery), ([^"]*)"', page
    )
    assert [key for _, key in pictures] == [
        row[side] for row in named for side in ("probe", "gallery")
    ]
    faces = FaceSet.open(tmp_path / "set")
    stored = np.stack([faces.image(row) for row in range(len(faces))]).astype(int)
    for data, key in pictures[:: max(1, len(pictures) // 20)]:
        differences = np.abs(stored - decode_rgb(base64.b64decode(data), key)).mean((1, 2, 3))
        assert faces.keys[differences.argmin()] == key, (
            "the picture is that face's, its red, green and blue in their places"
        )


def test_no_faces_leaves_pictures_and_names_out_of_every_file(evaluated, tmp_path) -> None:
    code, text = evaluated("whole", *FARS, "--no-faces", "--out", str(tmp_path / "out"))
    assert code == 0, text
    for file in (tmp_path / "out").iterdir():
        assert not re.search(r"p0\d|\.jpg|<img|data:image|data-score", file.read_text()), file
    assert not re.search(r"p0\d|\.jpg", text)
    assert all("worst" not in result for result in results(read(tmp_path / "out")[0]))


def test_errors_under_drawn_masks_are_shown_with_the_masks_that_were_measured(
    evaluated, tmp_path
) -> None:
    arguments = [
        "whole",
        "--far",
        "0.4",
        "--protocol",
        "synthetic-mask",
        "--mask-seed",
        "5",
        "--out",
        str(tmp_path / "out"),
    ]
    code, text = evaluated(*arguments)
    assert code == 0, text
    report, page = read(tmp_path / "out")
    pictures = re.findall(
        r'<img src="data:image/jpeg;base64,([^"]*)"[^>]*alt="probe, ([^"]*)"', page
    )
    named = errors_of(report)
    assert (
        named
        and [key for _, key in pictures] == [row["probe"] for row in named]
        and "with its drawn mask" in page
    )
    masked = MaskedFaces(FaceSet.open(tmp_path / "set"), 5)
    stored = np.stack([masked.image(row) for row in range(len(masked))]).astype(int)
    for data, key in pictures[:6]:
        differences = np.abs(stored - decode_rgb(base64.b64decode(data), key)).mean((1, 2, 3))
        assert masked.faceset.keys[differences.argmin()] == key
        assert differences.min() < 10, "the mask is the one that was measured"
    code, text = evaluated(*arguments, "--no-faces", "--force")
    assert code == 0, text
    assert not re.search(
        r"p0\d|<img", "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    )


def test_tar_by_the_turn_of_the_head_is_on_the_page(evaluated, tmp_path) -> None:
    evaluated("whole", *FARS, "--out", str(tmp_path / "out"))
    report, page = read(tmp_path / "out")
    groups = report["protocols"]["mask-nonmask"]["models"]["whole"]["groups"]
    (straight,) = [row for row in groups if row["by"] == "turn of the head"]
    assert straight["group"] == "00 to 15 degrees" and straight["genuine"] == 8 * 4 * 3
    assert "turn of the head: 00 to 15 degrees" in page


def test_explained_pairs_are_on_the_page(evaluated, tmp_path) -> None:
    code, text = evaluated(
        "whole", "upper", *FARS, "--explain", "3", "--out", str(tmp_path / "out")
    )
    assert code == 0, text
    report, page = read(tmp_path / "out")
    pairs = report["explained"]["pairs"]
    assert (
        len(pairs) == 3
        and page.count('class="map"') == 3 * 2 * 2
        and all(list(pair["models"]) == ["whole", "upper"] for pair in pairs)
    )
    cosines = [
        maps[name]["cosine"]
        for pair in pairs
        for maps in pair["models"].values()
        for name in ("clean", "masked")
    ]
    assert [float(value) for value in re.findall(r'data-cosine="([^"]*)"', page)] == cosines
    for pair in pairs:
        assert (
            pair["twin"]
            and pair["masked"] == pair["clean"].replace(".jpg", ".masked.jpg")
            and pair["partner"] != pair["clean"]
        )
        below = np.array(pair["models"]["upper"]["clean"]["falls"])[9:]
        assert not below.any(), "a model that does not look there does not change"
        assert np.array(pair["models"]["upper"]["clean"]["falls"])[:6].any()
    _Balanced().feed(page)


@pytest.fixture
def browse(tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on this machine: the report was not opened in a browser")

    def open_page(page, *flags: str) -> str:
        always = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
        ]
        done = subprocess.run(
            [browser, *always, *flags, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    return open_page


MEASURE = """<script>window.addEventListener("load", () => {
  const all = (what) => [...document.querySelectorAll(what)];
  const rgb = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (colour) => { const [r, g, b] = rgb(colour); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = getComputedStyle(document.body).backgroundColor;
  const contrast = (one) => {
    const [high, low] = [light(getComputedStyle(one).color), light(ground)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const folded = all("details:not([open]) img").filter((one) => one.checkVisibility({contentVisibilityAuto: true})).length;
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  all("details").forEach((one) => one.querySelector("summary").click());
  const seen = all("img").filter((one) => one.complete && one.naturalWidth === 112 && one.checkVisibility()).length;
  const said = all("img").filter((one) => one.alt.length > 8).length;
  const focused = all("summary, [tabindex]").filter((one) => { one.focus(); return document.activeElement === one; }).length;
  const lowest = Math.min(...all("h1, p, .soft, small, caption, strong, code").map(contrast));
  document.body.dataset.measured = JSON.stringify({images: all("img").length, seen, said, folded, wide, focused,
    tables: all("[tabindex]").length, summaries: all("summary").length, ground: light(ground), contrast: lowest});
})</script>"""


POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


def measured(browse, folder, *flags: str, printed: bool = False) -> dict:
    """Open a copy of a page that measures itself, on the screen or laid out for paper: pictures,
    keyboard, colours, width.
    """
    copy = folder / "measured.html"
    page = POLICY.sub("", (folder / "report.html").read_text())  # which allows no script
    page = page.replace("</body>", MEASURE + "</body>")
    copy.write_text(page.replace("@media print", "@media screen") if printed else page)
    return json.loads(
        html.unescape(
            re.search(r'data-measured="([^"]*)"', browse(copy, "--dump-dom", *flags)).group(1)
        )
    )


def test_a_page_opens_in_chromium_and_shows_the_numbers(evaluated, browse, tmp_path) -> None:
    evaluated("whole", "upper", *FARS, "--out", str(tmp_path / "out"))
    shown = browse(tmp_path / "out" / "report.html", "--dump-dom")
    report = read(tmp_path / "out")[0]
    wanted = [row["tar"] for result in results(report) for row in result["tar_at_far"]]
    by_protocol = re.findall(r'data-value="([^"]*)"', shown)
    assert [None if value == "None" else float(value) for value in by_protocol] == wanted
    assert [float(value) for value in re.findall(r'data-score="([^"]*)"', shown)] == [
        row["score"] for row in errors_of(report)
    ]


@pytest.mark.slow
def test_pictures_appear_and_vanish_in_chromium(evaluated, browse, tmp_path) -> None:
    evaluated("whole", *FARS, "--explain", "2", "--out", str(tmp_path / "with"))
    evaluated("whole", *FARS, "--no-faces", "--out", str(tmp_path / "without"))
    wanted = 2 * len(errors_of(read(tmp_path / "with")[0])) + 2 * 5
    page = measured(browse, tmp_path / "with")
    assert page["images"] == page["seen"] == page["said"] == wanted and page["folded"] == 0, page
    bare = measured(browse, tmp_path / "without")
    assert bare["images"] == 0 and bare["tables"] > 0
    for name, some in (("with", True), ("without", False)):
        printed = tmp_path / f"{name}.pdf"
        browse(tmp_path / name / "report.html", f"--print-to-pdf={printed}")
        assert (printed.read_bytes().count(b"/Subtype /Image") > 2 * 5) == some, (
            "errors that are folded on the screen are printed"
        )


def test_a_report_of_a_hundred_thousand_rows_stays_small(evaluated, tmp_path) -> None:
    """50,000 groups of two models; and more errors than a page can show pictures of."""
    (tmp_path / "groups.csv").write_text(
        "identity,group\n" + "".join(f"p{at:02d},{'ab'[at % 2]}\n" for at in range(8))
    )
    code, text = evaluated(
        "whole", "upper", "--protocol", "all-to-all", "--groups", str(tmp_path / "groups.csv"),
        "--far", "0.4", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 0, text
    with (tmp_path / "out" / "groups.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["group"], row["model"], row["people"]) for row in rows] == [
        ("a", "whole", "4"), ("b", "whole", "4"), ("a", "upper", "4"), ("b", "upper", "4"),
    ]  # fmt: skip
    report = read(tmp_path / "out")[0]
    for result in results(report):
        result["by_group"] = result["by_group"] * 25_000
        result["worst"]["false_matches"] = result["worst"]["false_matches"][:1] * 1500
    page = report_page.page(report)
    assert len(page) < 20e6 and "The first 500 of 50,000 groups" in page
    assert page.count('<th scope="row">a</th>') == 500
    assert page.count("data:image/jpeg") <= report_page.MOST_PICTURES
    _Balanced().feed(page)


PICK = """<script>window.addEventListener("load", () => {
  const section = document.querySelector(".worst"), all = (what) => [...section.querySelectorAll(what)];
  section.open = true;
  const seen = () => all("li").filter((one) => one.checkVisibility()).length;
  const before = seen(), counts = {};
  all("input.pick").forEach((one) => { one.click(); counts[one.className] = seen(); one.closest("fieldset").querySelector("input").click(); });
  document.body.dataset.measured = JSON.stringify({before, counts, after: seen()});
})</script>"""


def test_errors_can_be_filtered_without_a_script(evaluated, browse, tmp_path) -> None:
    """Heads of two turns and faces of two resolutions: each choice shows its own errors alone."""
    whole = FaceSet.open(tmp_path / "set")
    rows = whole.table.to_pylist()
    for number, row in enumerate(rows):
        scale = 0.4 if row["identity"] < "p04" else 2.0
        row["similarity"] = [scale, 0.0, 1.0, 2.0]
        if number % 3 == 0:
            turned = np.array(row["landmarks"]).reshape(5, 2)
            turned[2, 0] += 12  # the nose goes to the side
            row["landmarks"] = turned.ravel().tolist()
    write_rows(tmp_path / "set", [(rows, [])], {})
    flags = ["--protocol", "mask-nonmask", "--far", "0.4", "--out", str(tmp_path / "out")]
    code, text = evaluated("whole", *flags)
    assert code == 0, text
    report, page = read(tmp_path / "out")
    found = report["protocols"]["mask-nonmask"]["models"]["whole"]
    errors = found["worst"]["false_matches"] + found["worst"]["false_non_matches"]
    page = POLICY.sub("", page).replace("</body>", PICK + "</body>")
    (tmp_path / "out" / "picked.html").write_text(page)
    shown = browse(tmp_path / "out" / "picked.html", "--dump-dom")
    told = json.loads(html.unescape(re.search(r'data-measured="([^"]*)"', shown).group(1)))
    assert told["before"] == told["after"] == len(errors)
    for by in ("turn", "resolution"):
        kinds = sorted({row[by] for row in errors})
        assert len(kinds) == 2, kinds
        for at, kind in enumerate(kinds):
            assert told["counts"][f"pick {by}-{at}"] == sum(row[by] == kind for row in errors) > 0
    by_group = {row["group"] for row in found["groups"] if row["by"] == "resolution of the face"}
    assert by_group == {"056 to 112 pixels", "224 pixels and more"}
    assert page.count('aria-label="TAR by resolution of the face of whole"') == 1


@pytest.mark.parametrize(("scheme", "light"), [("1", True), ("0", False)])
def test_the_page_is_readable_in_both_schemes_by_keyboard_and_on_a_small_screen(
    evaluated, browse, tmp_path, scheme, light
) -> None:
    evaluated("whole", "upper", *FARS, "--explain", "1", "--out", str(tmp_path / "out"))
    page = measured(
        browse,
        tmp_path / "out",
        f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=520,900",
    )
    assert (page["ground"] > 0.5) == light and page["contrast"] >= 4.5, page
    assert page["focused"] == page["tables"] + page["summaries"] and page["wide"] == 0, page


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'onmouseover='alert(1)",
    '=HYPERLINK("http:evil.example")',
    "\u202eanna{{ 7*7 }}",
    "</style><script>alert(1)<",
]


def test_names_that_try_are_text(evaluated, browse, tmp_path) -> None:
    """People, files and models whose names are HTML, formulas or templates."""
    write_faceset(tmp_path / "set", people=8, names=HOSTILE)
    models = ["</title><script>alert(1)</script>", "=1+1|'&amp;"]
    code, text = evaluated(*models, *FARS, "--explain", "2", "--out", str(tmp_path / "out"))
    assert code == 0, text
    page = (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"<script|<img src=x|<svg onload|\u202e", page)
    assert "\N{REPLACEMENT CHARACTER}anna{{ 7*7 }}" in page and "&lt;img src=x onerror" in page
    _Balanced().feed(page)
    with (tmp_path / "out" / "report.csv").open() as file:
        assert {row["model"][:2] for row in csv.DictReader(file)} == {"</", "'="}
    shown = browse(tmp_path / "out" / "report.html", "--dump-dom")
    assert "&lt;img src=x onerror" in shown and not re.search(r"<script|<img src=\"x", shown)


def test_a_page_may_run_and_fetch_nothing(evaluated, browse, tmp_path) -> None:
    """What would get in all the same is stopped by the browser: a script does not run, a style and
    a request are refused; the page's own style is applied.
    """
    evaluated("whole", *FARS, "--no-faces", "--out", str(tmp_path / "out"))
    page = (tmp_path / "out" / "report.html").read_text()
    (policy,) = POLICY.findall(page)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert page.index("Content-Security-Policy") < page.index("<style>")
    broken = page.replace("</body>", "<script>document.title = 'run'</script></body>")
    (tmp_path / "broken.html").write_text(broken)
    with pytest.raises(AssertionError, match="Content Security Policy"):
        browse(tmp_path / "broken.html", "--dump-dom")
    plain = POLICY.sub("", broken)
    (tmp_path / "plain.html").write_text(plain)
    assert "<title>run</title>" in browse(tmp_path / "plain.html", "--dump-dom")
    browse(tmp_path / "out" / "report.html", "--dump-dom")  # says nothing of a refused style


def test_nothing_is_cut_off_on_paper(evaluated, browse, tmp_path) -> None:
    evaluated(
        "whole",
        "/some/folder/of/runs/upper",
        *FARS,
        "--explain",
        "1",
        "--operating-point",
        "0.3",
        "--out",
        str(tmp_path / "out"),
    )
    page = measured(
        browse, tmp_path / "out", "--window-size=718,900", "--hide-scrollbars", printed=True
    )
    assert page["wide"] == 0 and page["images"] == page["seen"], page


def test_a_far_no_protocol_supports_is_an_error_of_the_user(evaluated) -> None:
    code, text = evaluated("whole", "--far", "1e-9")
    assert code == 2 and "--far 1e-09" in text and "smallest FAR it supports" in text


def test_people_can_be_chosen(evaluated, tmp_path) -> None:
    (tmp_path / "some.txt").write_text("p01\np03\np05\n")
    code, text = evaluated(
        "whole", "--people", str(tmp_path / "some.txt"), "--far", "0.4", "--protocol", "mask-mask"
    )
    assert (
        code == 0
        and "3 people, 12 unmasked and 12 masked" in text
        and "nonmask-nonmask" not in text
    )
    (tmp_path / "some.txt").write_text("nobody\n")
    code, text = evaluated("whole", "--people", str(tmp_path / "some.txt"))
    assert code == 2 and "1 of 1 names match nothing" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--far", "1.5"], "--far must be between 0 and 1"),
        (["--protocol", "mask"], "Did you mean"),
        (["--batch", "0"], "--batch must be 1 or more"),
        (["whole"], "given twice"),
        (["--explain", "-1"], "--explain must be 0 or more"),
        (["--explain", "2"], "with --out"),
        (["--explain", "2", "--no-faces", "--out", "somewhere"], "leave --no-faces out"),
    ],
)
def test_mistakes_are_named(evaluated, arguments: list[str], words: str) -> None:
    code, text = evaluated("whole", *arguments)
    assert code == 2 and words in text


def test_an_operating_point_with_and_without_masks(evaluated, tmp_path) -> None:
    code, text = evaluated("whole", "--operating-point", "0.3", "--out", str(tmp_path / "out"))
    assert (
        code == 0 and "operating point of whole" in text and "masked at unmasked threshold" in text
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    point = report["operating_point"]["whole"]
    rows = {
        name: next(row for row in e["models"]["whole"]["tar_at_far"] if row["far"] == 0.3)
        for name, e in report["protocols"].items()
    }
    assert (
        point["masked"]["threshold"] == rows["mask-nonmask"]["threshold"]
        and point["unmasked"]["fnmr"] == 1 - rows["nonmask-nonmask"]["tar"]
    )
    assert point["masked_at_unmasked_threshold"]["threshold"] == point["unmasked"]["threshold"]
    assert "Operating point" in (tmp_path / "out" / "report.html").read_text()
    code, text = evaluated("whole", "--operating-point", "0.01")
    assert code == 2 and "--operating-point 0.01" in text
    code, text = evaluated("whole", "--operating-point", "0.3", "--protocol", "mask-mask")
    assert code == 2 and "leaves out nonmask-nonmask" in text


def test_probes_against_the_templates_of_another_model(evaluated, tmp_path) -> None:
    """A model against its own templates is the plain protocol, with unmasked comparisons counted
    from both sides.
    """
    code, text = evaluated(
        "whole", "--gallery", "whole", "--far", "0.4", "--out", str(tmp_path / "out")
    )
    assert code == 0, text
    protocols = json.loads((tmp_path / "out" / "report.json").read_text())["protocols"]
    own, old = (protocols[name]["models"]["whole"] for name in ("mask-nonmask", "old-gallery-mask"))
    assert own["tar_at_far"] == old["tar_at_far"] and own["comparisons"] == old["comparisons"]
    clean, both = (
        protocols[name]["models"]["whole"]["comparisons"]
        for name in ("nonmask-nonmask", "old-gallery-nonmask")
    )
    assert both == {name: 2 * number for name, number in clean.items()}
    code, text = evaluated("upper", "--gallery", "whole", "--far", "0.4")
    assert code == 2 and "24 numbers" in text
    code, text = evaluated("whole", "--protocol", "old-gallery-mask")
    assert code == 2 and "--gallery" in text
