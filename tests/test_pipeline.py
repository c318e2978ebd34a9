"""`kit.py run`: the commands in order, each once, and on from where a call was stopped."""

import json
import shutil

import pytest

from mfr_kit import assets, cli
from mfr_kit.errors import KitError, RuleError, Stopped
from mfr_kit.pipeline import STATE, Lists, Work, work_through

ORDER = ["augment", "split", "distill", "evaluate", "export-onnx", "check", "make-submission"]


@pytest.fixture
def work(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "recipe.toml").write_text('teacher = "sface-int8"\n', encoding="utf-8")
    return Work(tmp_path / "recipe.toml", tmp_path / "photos", tmp_path / "out", "unconstrained")


class Runner:
    """Stands for the commands; `fails` gives the exit code of one of them, once."""

    def __init__(self, **fails):
        self.ran, self.fails = [], fails

    def __call__(self, words):
        self.ran.append(words)
        return self.fails.pop(words[0].replace("-", "_"), 0)

    @property
    def names(self):
        return [words[0] for words in self.ran]


def test_all_commands_lead_into_each_other(work, capsys):
    run = Runner()
    work_through(work, run)
    assert run.names == ORDER
    by_name = {words[0]: words for words in run.ran}
    out = work.out
    assert by_name["augment"][1:3] == [str(work.photos), str(out / "faces")]
    assert by_name["split"][1:] == [str(out / "faces"), str(out / "lists")]
    assert by_name["evaluate"][1:3] == ["sface-int8", str(out / "run")]
    assert str(out / "lists" / "holdout.txt") in by_name["distill"]
    assert by_name["make-submission"][1] == by_name["check"][1] == str(out / "student.onnx")
    assert str(out / "report" / "report.json") in by_name["export-onnx"]
    shown = capsys.readouterr().out
    assert "[1/7] $ python kit.py augment" in shown and "[7/7] $ python kit.py make-sub" in shown


def test_it_goes_on_where_it_stopped(work, capsys):
    with pytest.raises(KitError, match=r"kit\.py evaluate` ended with exit code 2"):
        work_through(work, Runner(evaluate=2))
    again = Runner()
    work_through(work, again)
    assert again.names == ORDER[3:]
    assert "3 of 7 commands are done" in capsys.readouterr().out
    last = Runner()
    work_through(work, last)
    assert last.names == []


def test_what_a_kill_left_is_continued_or_taken_as_it_is(work):
    with pytest.raises(KitError):
        work_through(work, Runner(augment=1))
    (work.out / "faces").mkdir()
    (work.out / "faces" / "faces.parquet").touch()  # whole, but killed before it was noted
    (work.out / "lists").mkdir()
    (work.out / "lists" / "val.txt").touch()
    (work.out / "run").mkdir()
    (work.out / "run" / "last.pt").touch()
    run = Runner()
    work_through(work, run)
    assert run.names == ORDER[1:] and not (work.out / "lists").exists()
    assert run.ran[1][-1] == "--resume"


def test_what_a_killed_command_had_written_is_made_again(work):
    with pytest.raises(KitError):
        work_through(work, Runner(evaluate=1))
    (work.out / "report").mkdir()
    (work.out / "MODEL_CARD.md").touch()
    run = Runner()
    work_through(work, run)
    assert {words[0]: words[-1] == "--force" for words in run.ran} == {
        "evaluate": True,
        "export-onnx": True,
        "check": False,
        "make-submission": False,
    }


@pytest.mark.parametrize(("code", "kind"), [(3, RuleError), (130, Stopped), (1, KitError)])
def test_how_a_command_ended_is_how_the_whole_ends(work, code, kind):
    with pytest.raises(kind) as refused:
        work_through(work, Runner(check=code))
    assert type(refused.value) is kind


def test_another_job_or_somebodys_folder_is_refused(work, tmp_path):
    work_through(work, Runner())
    other = Work(work.recipe, tmp_path / "others", work.out, work.track)
    with pytest.raises(KitError, match=r"was begun with `kit.py augment"):
        work_through(other, Runner())
    (work.out / STATE).write_text(json.dumps({"commands": [], "done": 9}), encoding="utf-8")
    with pytest.raises(KitError, match="is damaged"):
        work_through(work, Runner())
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    with pytest.raises(KitError, match="not begun by this command"):
        work_through(Work(work.recipe, work.photos, mine, work.track), Runner())
    assert [item.name for item in mine.iterdir()] == ["thesis.txt"]


def test_given_lists_take_the_place_of_split(work, tmp_path):
    lists = Lists(tmp_path / "t.txt", None, tmp_path / "h.txt")
    run = Runner()
    work_through(Work(work.recipe, work.photos, work.out, work.track, lists=lists), run)
    assert run.names == [name for name in ORDER if name != "split"]
    assert f"--train-people {lists.train} --holdout-people {lists.holdout}" in " ".join(run.ran[1])


def test_a_bad_recipe_or_track_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    recipe = tmp_path / "none.toml"
    assert cli.main(["run", str(recipe), str(tmp_path / "photos"), str(tmp_path / "out")]) == 2
    assert "none.toml" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_photographs_become_a_package(tmp_path, capsys):
    for person in range(1, 41):
        (tmp_path / "photos" / f"s{person}").mkdir(parents=True)
        for take in range(1, 6):
            photograph = assets.path("orl-faces") / f"s{person}" / f"{take}.pgm"
            shutil.copy(photograph, tmp_path / "photos" / f"s{person}")
    command = ["run", "configs/adapt_sface.toml", str(tmp_path / "photos"), str(tmp_path / "out")]
    flags = ["--steps", "4", "--batch-size", "16", "--val", "0.25", "--holdout", "0.3"]
    assert cli.main([*command, *flags]) == 0
    shown = capsys.readouterr()
    assert (tmp_path / "out" / "submission.zip").is_file()
    (tmp_path / "out" / "pipeline.json").write_text(  # as if killed before the last was noted
        (tmp_path / "out" / "pipeline.json").read_text().replace('"done": 7', '"done": 6')
    )
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    assert shown.err.count("next: ") == 1 and "verify" in shown.err
    assert cli.main([*command, *flags]) == 0
    assert "6 of 7 commands are done" in capsys.readouterr().out
