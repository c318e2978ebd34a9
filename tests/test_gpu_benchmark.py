"""The correctness part of benchmarks/gpu.py, cpu against cpu through the device's functions."""

import json

import pytest
import torch

from benchmarks import gpu, gpu_promises, gpu_same

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "section",
    [
        *("same_bank_rows", "same_embeddings", "same_counts", "same_views", "same_export"),
        *("process_group", "render", "render_step"),
    ],
)
def test_a_section_holds_on_the_cpu(section, capsys, monkeypatch):
    monkeypatch.setattr(gpu_same, "COUNTED", 900)
    found = gpu.run(section, gpu.sections(False)[section], CPU)
    assert found["ok"], found
    assert capsys.readouterr().out.startswith(f"ok   {section}")
    json.dumps(found, default=float)


def test_a_step_of_a_method_that_mines_and_of_one_with_a_head_holds_on_the_cpu(tmp_path):
    found = gpu_same.methods(CPU, tmp_path, ("coupleface", "arcface"))
    assert found["ok"], found


def test_an_error_is_a_line_and_the_next_section_runs(capsys):
    def broken(device, folder):
        raise ValueError("no such thing")

    assert not gpu.run("broken", broken, CPU)["ok"]
    assert "ValueError: no such thing (test_gpu_benchmark.py:" in capsys.readouterr().out


def test_a_machine_without_a_gpu_is_told_what_would_run(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 0
    told = capsys.readouterr().out
    assert all(name in told for name in [*gpu_same.SECTIONS, *gpu_promises.SECTIONS])
