"""WebFace260M: detector, recogniser and the code that the server imports, tried in a fresh
process on one thread.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mfr_kit import assets
from mfr_kit.data import images
from mfr_kit.dequantize import write_float32
from mfr_kit.errors import KitError
from mfr_kit.models import input_format
from mfr_kit.submission.request import Request
from mfr_kit.submission.rules import ADVISORY, FAIL, Row, requirement

MODEL = "assets/face_reg/model.onnx"
DETECTOR = "assets/det/yunet.onnx"
CODE = Path(__file__).resolve().parent / "_webface260m"  # runs on the server, without the kit
SERVED = ("face_detection.py", "pywebface260mmfr_implement.py")
LIMIT_MS, NOT_EVALUATED_MS = 1000, 2000
PHOTOS = 20
LONGEST_S = 600  # for a package's code, which may hang


def files(request: Request) -> dict[str, Path | bytes]:
    """What goes into the zip, by its name there."""
    return {
        MODEL: request.model,
        "assets/face_reg/pixels.json": _pixels(request.normalisation),
        DETECTOR: request.detector or _detector(),
        **{name: CODE / name for name in SERVED},
    }


def _pixels(normalisation: str) -> bytes:
    """What the package's code reads: one number for all channels where they share it, and the
    order where it is not RGB.
    """
    form = input_format.parse(normalisation)
    order = {} if form.order == "rgb" else {"order": form.order}
    found: dict = {"mean": list(form.mean), "std": list(form.std)}
    if form.numbers is not None:
        found = dict(zip(("mean", "std"), map(float, form.numbers), strict=True))
    return (json.dumps({**found, **order}) + "\n").encode()


def inspect(folder: Path) -> list[Row]:
    """Load the package as the organisers would and time it over photographs. The package's code
    is RUN for this.
    """
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos.npz"
        np.savez(photos, allow_pickle=True, **photographs())
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        call = [sys.executable, str(CODE / "harness.py"), str(folder), str(photos)]
        try:
            done = subprocess.run(
                call,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=env,
                cwd=scratch,
                timeout=LONGEST_S,
            )
        except subprocess.TimeoutExpired:
            return [_broken(f"does not end within {LONGEST_S} s")]
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ends with code {done.returncode}"]
        return [_broken(said[-1])]
    try:
        return _judge(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return [_broken(f"its answer is not that of the harness ({type(error).__name__}: {error})")]


def _broken(reason: str) -> Row:
    return Row("loads as the organisers load it", "PyWebFace260M", reason, verdict=FAIL)


def photographs() -> dict[str, np.ndarray]:
    """(H, W, 3) uint8 BGR photographs by name: faces of the asset orl-faces, enlarged by the border
    a photograph has.

    Raises:
        KitError: the asset is not on this machine.
    """
    result = {}
    for path in sorted(assets.path("orl-faces").glob("s*/1.pgm"))[:PHOTOS]:
        face = images.read_rgb(path)
        result[path.parent.name] = np.pad(face, ((60, 60), (60, 60), (0, 0)), mode="edge")[
            :, :, ::-1
        ]
    return result


def _judge(measured: dict) -> list[Row]:
    likeness = measured["self_similarity"]
    times = np.array(measured["time_ms"])
    slow = float(times.max())
    note = (
        f"median {np.median(times):.0f} ms, slowest {slow:.0f} ms of {len(times)} on one thread "
        "here; the server is another machine"
    )
    return [
        requirement(
            "loads as the organisers load it",
            "PyWebFace260M",
            f"{measured['size']}-d features",
            True,
        ),
        requirement(
            "no face gives zeros",
            "zero vector",
            "zeros" if measured["blank_is_zero"] else "something else",
            measured["blank_is_zero"],
        ),
        requirement(
            "similarity of no face",
            "a number",
            str(measured["no_face_similarity"]),
            bool(np.isfinite(measured["no_face_similarity"])),
        ),
        requirement(
            "finds faces",
            f">= half of {measured['photos']}",
            str(measured["found"]),
            measured["found"] * 2 >= measured["photos"] > 0,
        ),
        requirement(
            "finite features",
            "all",
            "all" if measured["finite"] else "some are not",
            measured["finite"],
        ),
        requirement(
            "similarity to itself",
            "1",
            f"{min(likeness, default=0):.4f}",
            bool(likeness) and min(likeness) > 0.999,
        ),
        Row(
            "time of the pipeline",
            f"<= {LIMIT_MS} ms",
            f"{slow:.0f} ms",
            f"{LIMIT_MS - slow:.0f} ms",
            ADVISORY,
            note,
            measured=True,
        ),
    ]


def _detector() -> bytes:
    """YuNet with plain float32 weights: the shipped file's block-quantised ones need an
    onnxruntime of 2024.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "yunet.onnx"
        try:
            write_float32(assets.path("yunet"), made, {})
        except OSError as error:
            raise KitError(f"cannot write the detector: {error}") from None
        return made.read_bytes()
