"""Every snippet of docs/guides/python.md runs, and so do the script and the notebook of
examples/, on heads that the kit draws.
"""

import functools
import importlib.util
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mfr_kit as mk
from mfr_kit.data.images import encode
from mfr_kit.masks import drawn_heads
from mfr_kit.models.operating_points import META_POINTS
from mfr_kit.models.preprocess import META_NORMALISATION
from mfr_kit.submission import export
from tests.test_api import need

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
GUIDE = (ROOT / "docs" / "guides" / "python.md").read_text(encoding="utf-8")
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in GUIDE.split("\n## ")[1:]
}
ASSETS = {"mk.align(": "yunet", '"sface"': "sface"}
_draw = functools.cache(drawn_heads.draw)  # the same few heads over and over


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to run in, with a photograph; on one thread, for there are two processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(drawn_heads, "draw", _draw)
    (tmp_path / "photo.jpg").write_bytes(encode(_draw(320)[0]))
    yield tmp_path
    torch.set_num_threads(threads)


def run(sources: list[str], name: str) -> dict:
    """Execute sources one after the other in one namespace, as a reader would."""
    need(*{asset for word, asset in ASSETS.items() if word in "".join(sources)})
    namespace = {"__name__": "example"}
    for number, source in enumerate(sources):
        exec(compile(source, f"{name}, snippet {number + 1}", "exec"), namespace)
    return namespace


def as_sources(notebook: Path) -> list[str]:
    """Read the code cells of a notebook."""
    told = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in told["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("title", [title for title, blocks in SECTIONS.items() if blocks])
def test_the_guide_holds(title, place, capfd):
    if '"deployed.onnx"' in "".join(SECTIONS[title]):
        write_deployed(place / "deployed.onnx")
    run(SECTIONS[title], title)


def write_deployed(path):
    """Write a recogniser by colours, with a threshold that only the same face passes."""
    point = {"protocol": "nonmask-nonmask", "far": 1e-4, "threshold": 0.99999, "tar": 0.5}
    point |= {"low": 0.4, "high": 0.6, "false_accepts": 30, "genuine": 1000, "impostor": 300_000}
    about = {"name": "set", "fingerprint": "f", "faces": 800, "people": 300}
    text = json.dumps({"set": about, "mirrored": False, "points": [point]})
    network = nn.Sequential(nn.Conv2d(3, 8, 28, stride=28), nn.Flatten())
    export.export_module(network, path, {META_POINTS: text, META_NORMALISATION: "minus1_to_1"})


def test_a_threshold_decides(place, capfd):
    write_deployed(place / "deployed.onnx")
    run(SECTIONS["Same person or not"], "Same person or not")
    assert capfd.readouterr().out.splitlines()[-1] == "True False"


def test_every_snippet_of_the_guide_is_run():
    assert sum(map(len, SECTIONS.values())) == GUIDE.count("```python") > 8
    assert len(SECTIONS["In six lines"][0].replace("\n\n", "\n").splitlines()) == 6


def test_the_guide_names_all_there_is():
    for name in (*set(mk.__all__) - {"KitError", "RuleError", "losses"}, *dir(mk.losses)):
        assert re.search(rf"\b{name}\(", GUIDE) or f"`{name}`" in GUIDE, name


def test_the_loop_of_the_guide_is_the_script():
    (loop,) = SECTIONS["A training loop of your own"]
    assert loop in (EXAMPLES / "train_your_own.py").read_text(encoding="utf-8")
    cells = "\n\n\n".join(as_sources(EXAMPLES / "train_your_own.ipynb"))
    assert loop[loop.index("class MaskedViews") :].rstrip() in cells


def test_the_script_trains(place, capsys):
    network = nn.Sequential(nn.Conv2d(3, 4, 28, stride=28), nn.Flatten())
    mk.export_onnx(network, "teacher.onnx")
    mk.draw_face_set("heads", people=6, photos=3)
    train = runpy.run_path(str(EXAMPLES / "train_your_own.py"))["train"]
    train("heads", teacher="teacher.onnx", epochs=2)
    losses = [float(number) for number in re.findall(r"loss ([\d.]+)", capsys.readouterr().out)]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert np.load(next(place.rglob("embeddings.npy"))).shape == (18, 2, 64)


def test_the_notebook_runs(place, capfd):
    namespace = run(as_sources(EXAMPLES / "train_your_own.ipynb"), "train_your_own.ipynb")
    assert namespace["done"].path.is_file()
    assert (place / "sheet.png").stat().st_size > 10_000


def test_the_notebook_is_one_and_keeps_no_output():
    told = json.loads((EXAMPLES / "train_your_own.ipynb").read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in told["cells"])
    if importlib.util.find_spec("nbformat"):
        import nbformat

        nbformat.validate(nbformat.from_dict(told))
