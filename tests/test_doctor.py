"""`kit.py doctor`: what is there, what is missing, and a hint for each thing that hurts."""

import os

import pytest

from mfr_kit import assets, cli, doctor


def lines_of(**how):
    return list(doctor.examine(**how))


def test_it_names_versions_cores_disk_devices_and_models(capsys):
    assert cli.main(["doctor", "--no-speed"]) == 0
    shown = capsys.readouterr().out
    for word in ("MFR Kit", "packages", "cores", "disk", "devices", "providers", "models"):
        assert word in shown
    assert "torch 2." in shown and "onnxruntime: " in shown and "speed" not in shown


def test_it_times_what_long_jobs_do():
    shown = [line for line in lines_of() if line.startswith("speed")]
    assert [line.split()[1] for line in shown] == ["detection:", "embedding:", "masks:"]
    assert all(int(line.split(": ")[1].split()[0].replace(",", "")) >= 0 for line in shown)


def test_a_busy_machine_a_full_disk_and_no_device_are_hints(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (64.0, 1.0, 1.0))
    monkeypatch.setattr(doctor, "FREE_GIB", 1 << 40)
    monkeypatch.setattr(doctor, "MEMORY_GIB", 1 << 40)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    hints = "\n".join(line for line in lines_of(speed=False) if line.startswith("hint: "))
    for words in ("load 64.0", "GiB left", "fewer --workers", "no CUDA device"):
        assert words in hints


def test_a_model_that_is_missing_is_named_with_the_way_to_get_it(monkeypatch):
    find = assets.find
    monkeypatch.setattr(
        assets, "find", lambda entry: None if entry.name == "sface" else find(entry)
    )
    shown = lines_of(speed=False)
    assert any("not here: " in line and "sface" in line for line in shown)
    assert any("assets fetch sface" in line for line in shown if line.startswith("hint"))


def test_what_cannot_run_is_a_hint_and_the_rest_goes_on(monkeypatch):
    def refuse():
        raise doctor.KitError("the file is broken")

    monkeypatch.setattr(doctor, "_detection", refuse)
    monkeypatch.setattr(doctor, "RUNS", 1)
    shown = lines_of()
    assert "hint: detection cannot run: the file is broken" in shown
    assert any(line.startswith("speed      masks: ") for line in shown)


def test_a_machine_without_a_complaint_says_so(monkeypatch):
    for name in ("_packages", "_machine", "_devices", "_models"):
        monkeypatch.setattr(doctor, name, lambda hints: iter(()))
    assert lines_of(speed=False)[-1] == "all is there, and nothing is slower than this machine"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert doctor.usable_cores() == 1
