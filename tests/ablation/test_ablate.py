"""A small table from TOML to page: what is recorded is not done again, and the page says what
the records say.
"""

import contextlib
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfr_kit import claims
from mfr_kit.ablation import ablate as module
from mfr_kit.ablation import runs
from mfr_kit.ablation.ablate import ablate
from mfr_kit.ablation.cells import Cell, cells
from mfr_kit.ablation.keys import key_of
from mfr_kit.ablation.options import AblateOptions
from mfr_kit.ablation.results import write
from mfr_kit.ablation.table import read
from mfr_kit.claims import Claims
from mfr_kit.cli import main
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError, Stopped
from mfr_kit.evaluation.compare import measure
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.models.embedders import load_embedder
from tests.training.conftest import write_set

TABLE = """
title = "A small table"
seeds = [0, 1]
resamples = 20

[common]
data = "$SMALL_SETS/train"
student = "mobilefacenet"
width = 0.125
embedding_size = 128
steps = 3
batch_size = 8
log_every = 1

[[sets]]
name = "others"
data = "$SMALL_SETS/others"
fars = [0.5, 0.2]
protocols = ["nonmask-nonmask"]

[[setting]]
name = "bare"
mask_ratio = 0.0

[[setting]]
name = "slow"
mask_ratio = 0.0
learning_rate = 1e-6

[[setting]]
name = "bare again"
of = "bare"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    write_set(folder / "train")
    write_set(folder / "others", people=20, first=20)
    (folder / "small.toml").write_text(TABLE)
    return folder


@pytest.fixture
def options(folder, monkeypatch):
    monkeypatch.setenv("SMALL_SETS", str(folder))
    return AblateOptions(
        table=folder / "small.toml",
        work=folder / "work",
        records=folder / "results",
        workers=0,
    )


@pytest.fixture
def records(folder, options):
    ablate(options)
    return {
        path.stem: json.loads(path.read_text())
        for path in (folder / "results" / "small").glob("*.json")
    }


@pytest.mark.slow
def test_every_cell_is_recorded_once(options, records, monkeypatch):
    assert sorted(records) == [
        "bare-0",
        "bare-1",
        "bare-again-0",
        "bare-again-1",
        "slow-0",
        "slow-1",
        "teacher",
    ]
    monkeypatch.setattr(
        module, "run_cell", lambda *_: pytest.fail("a recorded cell was done again")
    )
    assert ablate(options).splitlines() == [
        f"{name}: recorded"
        for name in [
            "teacher",
            "bare-0",
            "slow-0",
            "bare-again-0",
            "bare-1",
            "slow-1",
            "bare-again-1",
        ]
    ]


def test_a_cell_that_another_process_makes_is_waited_for(folder, options, records, monkeypatch):
    path = folder / "results/small/bare-0.json"
    text = path.read_text()
    path.unlink()
    monkeypatch.setattr(module, "run_cell", lambda *_: pytest.fail("it was made twice"))
    table = read(options.table)
    (cell,) = (cell for cell in cells(table) if cell.name == "bare-0")
    with contextlib.ExitStack() as other:
        other.enter_context(runs.sole_cell(options.work, table, cell))

        def finish(*_):
            path.write_text(text)
            other.close()

        monkeypatch.setattr(claims.WaitNote, "tell", finish)
        assert "bare-0: recorded" in ablate(options).splitlines()
    assert not (options.work / claims.CLAIMS).exists()


def test_a_claim_of_a_process_that_was_killed_at_a_runs_end_is_cleared(
    folder, options, records, monkeypatch
):
    (run,) = (options.work / "small").glob("bare-0-*")
    killed = Claims(run / claims.CLAIMS)
    killed.folder.mkdir()
    killed.take("run")
    (folder / "results/small/bare-0.json").unlink()
    monkeypatch.setattr(claims.processes, "is_gone", lambda pid: True)
    ablate(options)
    assert not killed.folder.exists()


def test_a_record_is_json_of_a_line_for_each_part(folder, records):
    text = (folder / "results" / "small" / "bare-0.json").read_text()
    assert (
        len(text.splitlines()) == len(records["bare-0"]) + 2
        and json.loads(text) == records["bare-0"]
    )


def test_a_record_tells_what_it_rests_on(records):
    record = records["slow-1"]
    assert record["options"]["learning_rate"] == 1e-6 and record["options"]["seed"] == 1
    assert record["training_sets"][0]["people"] == 8
    assert [step for step, _ in record["curve"]] == [1, 2, 3]
    rows = record["sets"]["others"]["protocols"]["nonmask-nonmask"]
    assert [row["far"] for row in rows] == [0.5, 0.2] and len(rows[0]["resampled"]) == 20
    assert records["bare-0"]["sets"] != records["slow-0"]["sets"]
    assert records["bare-again-0"]["sets"] == records["bare-0"]["sets"]


def test_changed_settings_are_done_anew(folder, options, records):
    changed = folder / "changed" / "small.toml"
    changed.parent.mkdir(exist_ok=True)
    changed.write_text(TABLE.replace("learning_rate = 1e-6", "learning_rate = 1e-5"))
    told = ablate(
        AblateOptions(table=changed, work=options.work, records=options.records, dry_run=True)
    ).splitlines()
    assert [line for line in told if line.endswith("missing")] == [
        "slow-0: missing",
        "slow-1: missing",
    ]
    ablate(
        AblateOptions(
            table=changed, work=options.work, records=folder / "new", workers=0, only=["slow"]
        )
    )
    assert (
        json.loads((folder / "new" / "small" / "slow-0.json").read_text())["options"][
            "learning_rate"
        ]
        == 1e-5
    )


def test_a_run_of_the_same_options_is_shared_by_rows_and_tables(
    folder, options, records, monkeypatch
):
    other = folder / "other.toml"
    other.write_text(
        TABLE.replace('name = "slow"', 'name = "creeping"').replace(
            'title = "A', 'title = "Another'
        )
    )
    trained = []
    monkeypatch.setattr(runs.distill, "distill", trained.append)
    ablate(
        AblateOptions(
            table=other, work=options.work, records=folder / "shared", workers=0, only=["creeping"]
        )
    )
    assert not trained and not (options.work / "other").exists()
    shared = json.loads((folder / "shared" / "other" / "creeping-1.json").read_text())
    assert (
        shared["options"] == records["slow-1"]["options"]
        and shared["sets"] == records["slow-1"]["sets"]
    )


def test_a_set_may_be_measured_with_the_mirrored_face(folder, options, records):
    flipped = folder / "flipped" / "small.toml"
    flipped.parent.mkdir(exist_ok=True)
    flipped.write_text(TABLE.replace("fars = [0.5, 0.2]", "fars = [0.5, 0.2]\nflip = true"))
    ablate(
        AblateOptions(
            table=flipped, work=options.work, records=folder / "mirrored", workers=0, only=["bare"]
        )
    )
    record = json.loads((folder / "mirrored" / "small" / "bare-0.json").read_text())
    assert record["key"] != records["bare-0"]["key"]
    (run,) = (options.work / "small").glob("bare-0-*")
    faces = FaceSet.open(folder / "others")
    found = measure(
        from_set(embed_set(load_embedder(run), faces, flip=True), faces),
        Plan((0.5, 0.2), 20),
        ("nonmask-nonmask",),
    )
    told = record["sets"]["others"]["protocols"]["nonmask-nonmask"]
    assert [row["tar"] for row in told] == [
        row["tar"] for row in found["nonmask-nonmask"].result["tar_at_far"]
    ]
    assert told != records["bare-0"]["sets"]["others"]["protocols"]["nonmask-nonmask"]


def test_an_option_that_came_later_outdates_nothing_and_a_changed_default_does(
    folder, options, records
):
    copy = folder / "copies"
    (copy / "small").mkdir(parents=True, exist_ok=True)

    def missing(**changes):
        kept = {
            name: value for name, value in records["bare-0"]["options"].items() if name != "ema"
        } | changes
        (copy / "small" / "bare-0.json").write_text(
            json.dumps({**records["bare-0"], "options": kept})
        )
        return ablate(
            AblateOptions(
                table=options.table, work=options.work, records=copy, only=["bare"], dry_run=True
            )
        ).splitlines()

    assert missing() == ["bare-0: recorded", "bare-1: missing"]
    assert missing(clip=1.0) == ["bare-0: missing", "bare-1: missing"]


def test_the_page_says_what_the_records_say(folder, records):
    out, page = folder / "docs" / "results.md", folder / "docs" / "results" / "small.md"
    assert "7 records of 1 table(s)" in write(folder / "results", out)
    row = next(
        line
        for line in page.read_text().splitlines()
        if line.startswith("| bare | ") and "(" in line
    )
    seeds = [
        records[f"bare-{seed}"]["sets"]["others"]["protocols"]["nonmask-nonmask"][0]
        for seed in (0, 1)
    ]
    teacher = records["teacher"]["sets"]["others"]["protocols"]["nonmask-nonmask"][0]
    mean, least, most, change, low, high = map(float, re.findall(r"[+-]?\d+\.\d+", row)[:6])
    tars = [100 * row["tar"] for row in seeds]
    assert (mean, least, most) == (
        pytest.approx(np.mean(tars), abs=0.01),
        pytest.approx(min(tars), abs=0.01),
        pytest.approx(max(tars), abs=0.01),
    )
    assert change == pytest.approx(np.mean(tars) - 100 * teacher["tar"], abs=0.011)
    paired = 100 * (np.mean([row["resampled"] for row in seeds], axis=0) - teacher["resampled"])
    assert (low, high) == tuple(
        pytest.approx(end, abs=0.01) for end in np.quantile(paired, [0.025, 0.975])
    )
    for image in re.findall(r"\((\S+\.svg)\)", page.read_text()):
        assert (page.parent / image).read_text().startswith("<svg xmlns")
    assert "curves.svg" in page.read_text()


def test_a_record_is_current_whatever_the_options_were_called(folder, options, records, tmp_path):
    """What a key is made of is written down here: it outlasts the renaming of an option."""
    told = {
        "width": 0.125,
        "embedding_size": 128,
        "steps": 3,
        "batch_size": 8,
        "mask_ratio": 0.0,
    }
    trained = FaceSet.open(folder / "train").fingerprint
    entry, faces = read(options.table).sets[0], FaceSet.open(folder / "others")
    measured = [[entry.name, faces.fingerprint, entry.fars, entry.protocols]]

    def expected(of_run, is_derived, share):
        weights = digest([of_run, trained, is_derived, share, [0]])
        return digest(["sface", 20, measured, weights])

    assert records["bare-0"]["key"] == expected(told, False, 1.0)
    half = TABLE.replace('of = "bare"', 'of = "bare"\nSHARE = 0.5')
    half = half.replace("mask_ratio = 0.0", "mask_ratio = 0.0\nSHARE = 0.5")
    keys = []
    for name in ("weight_share", "keep", "weight-share"):
        path = tmp_path / "small.toml"
        path.write_text(half.replace("SHARE", name))
        cells = [Cell("bare", 0), Cell("bare again", 0)]
        keys.append([key_of(read(path), cell, {"others": faces}) for cell in cells])
    before = {**told, "keep": 0.5}
    assert keys == [[expected(before, False, 1.0), expected(before, True, 0.5)]] * 3


def test_a_record_of_an_options_former_name_stays_current(folder, options, records, tmp_path):
    (tmp_path / "small").mkdir()
    record = records["bare-0"]
    given = {**record["options"], "keep": record["options"]["weight_share"]}
    del given["weight_share"]
    path = tmp_path / "small" / "bare-0.json"
    path.write_text(json.dumps({**record, "options": given}))
    asked = AblateOptions(
        table=options.table, work=options.work, records=tmp_path, only=["bare"], dry_run=True
    )
    assert ablate(asked).splitlines()[0] == "bare-0: recorded"
    path.write_text(json.dumps({**record, "options": {**given, "keep": 0.5}}))
    assert ablate(asked).splitlines()[0] == "bare-0: missing"


def digest(parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def test_a_page_may_lie_anywhere_and_names_its_plots_from_there(folder, records, tmp_path):
    write(folder / "results", tmp_path / "page.md")
    assert "## [A small table](page/small.md)" in (tmp_path / "page.md").read_text()
    plots = re.findall(r"\((\S+\.svg)\)", (tmp_path / "page" / "small.md").read_text())
    assert plots and all((tmp_path / "page" / plot).is_file() for plot in plots)


def test_mask_ratios_are_plotted_though_a_record_is_older_than_an_option(records, tmp_path):
    """An option that a record does not know stands at its default there; it is no difference
    between settings.
    """
    folder, ratios = tmp_path / "results" / "small", (0.0, 0.35, 0.7)
    folder.mkdir(parents=True)
    for ratio in ratios:
        record = {
            **records["bare-0"],
            "setting": f"ratio {ratio}",
            "options": {**records["bare-0"]["options"], "mask_ratio": ratio},
        }
        if ratio == 0.7:
            del record["options"]["degrade"], record["options"]["freeze_last_layers"]
        record["sets"] = json.loads(json.dumps(record["sets"]))
        for measured in record["sets"].values():
            measured["protocols"] = {
                "nonmask-nonmask": (rows := measured["protocols"]["nonmask-nonmask"]),
                "mask-nonmask": rows,
            }
            for row in rows:
                row["false_accepts"] = 100
        (folder / f"{ratio}.json").write_text(json.dumps(record))
    write(tmp_path / "results", tmp_path / "page.md")
    page = (tmp_path / "page" / "small.md").read_text()
    assert (
        "against mask ratio on others" in page
        and (tmp_path / "page" / "small" / "mask-ratio-0.svg").is_file()
    )
    assert "| ratio 0.7 | 0 | mask_ratio = 0.7 |" in page
    tar = 100 * records["bare-0"]["sets"]["others"]["protocols"]["nonmask-nonmask"][1]["tar"]
    assert "| setting | others, nonmask-nonmask @ 0.2 | others, mask-nonmask @ 0.2 |" in page
    assert f"| ratio 0.7 | {tar:.2f} | {tar:.2f} |" in page


def test_the_commands(folder, options, records, capsys):
    assert (
        main(
            [
                "ablate",
                str(options.table),
                "--work",
                str(options.work),
                "--records",
                str(options.records),
                "--only",
                "bare",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.splitlines() == ["bare-0: recorded", "bare-1: recorded"]
    assert (
        main(["results", "--records", str(folder / "nothing"), "--out", str(folder / "page.md")])
        == 2
    )
    assert "kit.py ablate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("steps = 3", "stepps = 3", "stepps"),
        ("learning_rate = 1e-6", "seed = 4", "is set by"),
        ("steps = 3", 'teacher = "sface"', "beside 'title'"),
        ('of = "bare"', 'of = "bar"', "trained setting"),
        ('name = "slow"', 'name = "bare"', "two settings"),
        ("$SMALL_SETS/others", "$NOT_SET_AT_ALL/others", "environment variable"),
        ('title = "A small table"', "", "'title' is missing"),
    ],
)
def test_a_wrong_table_is_told_in_a_line(folder, options, tmp_path, old, new, problem):
    (tmp_path / "t.toml").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(KitError, match=problem):
        ablate(
            AblateOptions(
                table=tmp_path / "t.toml",
                work=tmp_path / "work",
                records=tmp_path / "records",
                dry_run=True,
            )
        )


def test_the_shipped_tables_can_be_read(monkeypatch):
    monkeypatch.setenv("MFR_KIT_SETS", "/sets")
    monkeypatch.setenv("MFR_KIT_DATA", "/data")
    for path in sorted((Path(__file__).parents[2] / "configs" / "ablations").glob("*.toml")):
        table = read(path)
        for setting in table.settings:
            if setting.of is None:
                table.options(setting, out=Path("out"), seed=0)


def test_people_trained_on_are_measured_only_if_asked_for(options, records, folder):
    assert all("overlap" not in record for record in records.values())
    write_set(folder / "both", people=20)
    table = folder / "same" / "small.toml"
    table.parent.mkdir()
    table.write_text(TABLE.replace("$SMALL_SETS/others", "$SMALL_SETS/both"))
    strict = replace(options, table=table, records=folder / "same", only=["slow"])
    with pytest.raises(KitError, match="was trained on 8 of the 20 people measured"):
        ablate(strict)
    ablate(replace(strict, allow_overlap=True))
    told = json.loads((folder / "same" / "small" / "slow-0.json").read_text())
    assert told["overlap"] == {"others": 8}


def test_a_file_replaced_under_its_path_outdates_the_record_and_the_run(folder, options, tmp_path):
    masks = tmp_path / "mix.toml"
    masks.write_text("[kinds]\nsurgical = 2\n")
    people = tmp_path / "people.txt"
    people.write_text("p00\np01\np02\np03\n")
    table = tmp_path / "replaced.toml"
    lines = f'\nmask_mix = "{masks}"\ntrain_people = "{people}"\n\n[[sets]]'
    table.write_text(TABLE.replace("\n\n[[sets]]", lines).replace("[0, 1]", "[0]"))
    options = replace(options, table=table, work=tmp_path / "work", only=["bare", "bare again"])
    ablate(options)
    assert "bare-0: recorded\nbare-again-0: recorded" in ablate(options)
    record = json.loads((options.records / "replaced" / "bare-0.json").read_text())
    assert sorted(record["inputs"]) == ["masks", "teacher", "train_people"]
    for path, name in ((masks, "masks"), (people, "train_people")):
        former = path.read_text()
        path.write_text(former.replace("2", "1").replace("p03", "p04"))
        assert "bare-0: missing\nbare-again-0: missing" in ablate(replace(options, dry_run=True))
        with pytest.raises(KitError, match=rf"other files under the same paths \({name}\)"):
            ablate(options)
        path.write_text(former)
    assert "bare-0: recorded\nbare-again-0: recorded" in ablate(options)


def test_a_record_without_digests_stays(folder, options, records):
    path = options.records / "small" / "bare-0.json"
    record = json.loads(path.read_text())
    del record["inputs"]
    path.write_text(json.dumps(record))
    assert "bare-0: recorded" in ablate(options)


def test_a_record_without_a_curve_leaves_its_setting_out_of_the_plot(records, tmp_path):
    folder = tmp_path / "results" / "small"
    folder.mkdir(parents=True)
    for name in ("bare-0", "bare-1"):
        kept = dict(records[name])
        if name == "bare-1":
            del kept["curve"]
        (folder / f"{name}.json").write_text(json.dumps(kept))
    write(tmp_path / "results", tmp_path / "page.md")
    assert "curves.svg" not in (tmp_path / "page" / "small.md").read_text()


def test_a_tables_teacher_is_its_configs_where_it_names_none(monkeypatch, tmp_path):
    monkeypatch.setenv("SMALL_SETS", "/sets")
    (tmp_path / "c.toml").write_text('teacher = "edgeface.onnx"\n')
    (tmp_path / "t.toml").write_text(f'config = "{tmp_path / "c.toml"}"\n{TABLE}')
    assert read(tmp_path / "t.toml").teacher == "edgeface.onnx"
    (tmp_path / "t.toml").write_text(f'teacher = "other.onnx"\nconfig = "c.toml"\n{TABLE}')
    assert read(tmp_path / "t.toml").teacher == "other.onnx"
    (tmp_path / "t.toml").write_text(TABLE)
    assert read(tmp_path / "t.toml").teacher == "sface"


def test_what_goes_on_after_a_stop_is_the_same_command(options, monkeypatch, tmp_path):
    def stop(_):
        raise Stopped("stopped", adding=("--resume",))

    monkeypatch.setattr(runs.distill, "distill", stop)
    with pytest.raises(Stopped) as caught:
        ablate(replace(options, work=tmp_path / "work", records=tmp_path / "records"))
    assert caught.value.adding == ()
