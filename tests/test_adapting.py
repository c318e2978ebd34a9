"""The commands of docs/guides/adapting.md are run as they stand there, on the ORL faces and
somebody else's ONNX file.
"""

import shutil
import zipfile
from pathlib import Path

import onnx
import pytest
import torch

from mfr_kit import assets
from mfr_kit.models import preprocess, weights
from mfr_kit.submission import export

from .test_readme import ROOT, SHORTER, run_commands

SHORT = {**SHORTER, "adapt": ["--views", "1", "--epochs", "2", "--batch-size", "16"]}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """What the reader has: photos/, val.txt, holdout.txt, configs/ and theirs.onnx, which says
    nothing of itself.
    """
    folder = tmp_path_factory.mktemp("adapter")
    for name, numbers in {
        "train": range(1, 5),
        "val": range(5, 13),
        "holdout": range(13, 18),
    }.items():
        (folder / f"{name}.txt").write_text("".join(f"s{n}\n" for n in numbers))
        for person in numbers:
            shutil.copytree(
                assets.path("orl-faces") / f"s{person}", folder / "photos" / f"s{person}"
            )
    shutil.copytree(ROOT / "configs", folder / "configs")
    torch.manual_seed(2)
    proto, _ = export.export_graph(weights.build_backbone("mobilefacenet", 32, 0.25).eval(), 11)
    onnx.save(proto, folder / "theirs.onnx")
    return folder


@pytest.mark.slow
def test_the_commands_adapt_what_the_reader_brings(workplace, monkeypatch, capfd):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("COLUMNS", "200")
    ran = run_commands("docs/guides/adapting.md", SHORT, capfd)
    assert ran == [
        "augment",
        "distill",
        "distill",
        "export-onnx",
        "adapt",
        "evaluate",
        "check",
        "make-submission",
    ]
    [entry] = onnx.load(workplace / "runs/theirs/model.onnx").graph.input
    assert entry.type.tensor_type.shape.dim[0].dim_param
    made = onnx.load(workplace / "runs/adapted/student.onnx")
    assert {item.key for item in made.metadata_props} >= {
        preprocess.META_LINEAGE,
        preprocess.META_NORMALISATION,
    }
    assert {"model.onnx", "manifest.json"} <= set(
        zipfile.ZipFile(workplace / "submission.zip").namelist()
    )
