"""--quiet, --log-file and --json-log: for all commands, in one place."""

import json

import pytest

from mfr_kit import cli, console
from mfr_kit.console import OutputFlags, take_flags
from mfr_kit.errors import KitError
from mfr_kit.progress import Progress
from tests.conftest import write_faceset


def test_the_flags_stand_anywhere_but_behind_two_dashes():
    words, flags = take_flags(["--quiet", "tracks", "--json_log=a", "x", "--log-file", "b", "-v"])
    assert words == ["tracks", "x", "-v"]
    assert (flags.quiet, str(flags.json_log), str(flags.log_file)) == (True, "a", "b")
    assert take_flags(["x", "--", "--quiet"]) == (["x", "--", "--quiet"], OutputFlags())


@pytest.mark.parametrize("words", [["--log-file"], ["--log-file", "--quiet"], ["--json-log="]])
def test_a_log_without_a_file_is_refused(words):
    with pytest.raises(KitError, match=r"needs a file: --(log-file|json-log) job.log"):
        take_flags(words)


def test_a_log_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    assert cli.main(["tracks", "--log-file", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and str(tmp_path) in shown.err


def test_logs_hold_what_was_printed_and_how_it_ended(tmp_path, capsys):
    write_faceset(tmp_path / "set", people=40, takes=2)
    plain, events = tmp_path / "new" / "a.log", tmp_path / "a.jsonl"
    command = ["split", str(tmp_path / "set"), str(tmp_path / "lists")]
    logs = ["--log-file", str(plain), "--json-log", str(events)]
    assert cli.main([*command, *logs]) == 0
    shown = capsys.readouterr()
    printed = [line for line in (shown.out + shown.err).splitlines() if line.strip()]
    rows = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert [row["event"] for row in rows] == ["start", *["line"] * len(printed), "end"]
    assert rows[0]["arguments"] == [*command, *logs] and rows[-1]["exit_code"] == 0
    assert [row["text"] for row in rows[1:-1]] == printed
    assert [line.split("  ", 1)[1] for line in plain.read_text(encoding="utf-8").splitlines()] == [
        row["text"] for row in rows
    ]
    assert cli.main([*command, *logs]) == 2  # appended, with the error
    last = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert last[: len(rows)] == rows and last[-1]["exit_code"] == 2
    assert (last[-2]["stream"], last[-2]["text"]) == ("stderr", capsys.readouterr().err.strip())


def test_progress_is_logged_with_numbers(tmp_path):
    now = [0.0]
    with (
        console.opened(OutputFlags(quiet=True, json_log=tmp_path / "log")),
        Progress(100, "distil", "steps", clock=lambda: now[0]) as meter,
    ):
        now[0] = 20.0
        meter.note({"loss": 0.25})
        meter.advance(40)
    row = json.loads((tmp_path / "log").read_text(encoding="utf-8").splitlines()[0])
    wanted = {"stage": "distil", "done": 40, "total": 100, "unit": "steps", "rate_per_s": 2.0}
    assert wanted.items() <= row.items()
    assert (row["event"], row["left_s"], row["figures"]) == ("progress", 30.0, {"loss": 0.25})


def test_a_command_inside_another_keeps_its_console(tmp_path, capsys):
    with console.opened(OutputFlags(quiet=True, log_file=tmp_path / "log")):
        assert cli.main(["tracks"]) == 0
        assert console.current().quiet
    assert not console.current().quiet and not console.current().records
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == len(printed) + 2


def test_other_ranks_write_no_log(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with console.opened(OutputFlags(log_file=tmp_path / "log")):
        print("mine")
    assert not (tmp_path / "log").exists()


def test_every_command_shows_the_flags_and_knows_them_mistyped(capsys):
    for command in (["convert"], ["masks", "preview"], ["assets", "fetch"]):
        assert cli.main([*command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "\nConsole:\n" in shown and all(name in shown for name in console.NAMES)
    assert cli.main(["tracks", "--log-fil", "x"]) == 2
    assert "did you mean --log-file?" in capsys.readouterr().err
