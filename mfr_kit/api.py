"""The Python door: a few functions that call the rooms, and the classes worth having at hand.

`import mfr_kit as mk` loads none of it; heavy libraries come with the call that needs them. Paths
may be text everywhere. In the examples `mk` is this package, and `tmp` an empty folder.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from mfr_kit.data.alignment.align_photo import AlignedFace
    from mfr_kit.evaluation.result import Evaluation
    from mfr_kit.evaluation.verification.arrays import TarAtFar
    from mfr_kit.models.embedders import Embedder
    from mfr_kit.submission.export import Exported
    from mfr_kit.submission.rules import Row


ELSEWHERE = {
    "FaceSet": "mfr_kit.data.face_set.faceset",
    "KitError": "mfr_kit.errors",
    "MaskAugment": "mfr_kit.masks.transform",
    "RuleError": "mfr_kit.errors",
    "draw_face_set": "mfr_kit.masks.drawn_set",
    "operating_point": "mfr_kit.models.operating_points",
    "operating_points": "mfr_kit.models.operating_points",
}


def __getattr__(name: str) -> Any:
    if name == "losses":
        return importlib.import_module("mfr_kit.losses")
    if name in ELSEWHERE:
        return getattr(importlib.import_module(ELSEWHERE[name]), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def align(
    photo: "str | Path | np.ndarray",
    *,
    robust: bool = False,
    upright: bool = False,
    faces: str = "prominent",
) -> "AlignedFace":
    """Find the face of a photograph and bring it into the ArcFace frame, as `augment` does.

    Args:
        photo: a file, or (H, W, 3) uint8 RGB.
        robust: the median landmarks over several scales and mirror images; slower, and better
            under masks.
        upright: turn a photograph that lies on its side or upside down.
        faces: which of several: prominent (large and central), largest or central.
    Returns:
        `image` (112, 112, 3) uint8 RGB, `landmarks` (5, 2) in its pixels, `matrix` (2, 3) from the
        photograph's pixels, and the detector's `score` in [0, 1].
    Raises:
        KitError: no image that can be read, no face in it, no such choice, or the detector's model
            is not there (`kit.py assets fetch`).
    Example:
        >>> from mfr_kit.masks import drawn_heads
        >>> photo, landmarks = drawn_heads.draw(320, yaw_deg=10)
        >>> face = mk.align(photo)  # needs the asset yunet
        >>> face.image.shape, face.landmarks.shape
        ((112, 112, 3), (5, 2))
    """
    from mfr_kit.data.alignment import align_photo, detect

    return align_photo.align_photo(photo, detect.detector_of_thread(robust), upright, faces)


def put_mask(
    face: "np.ndarray | AlignedFace",
    seed: int = 0,
    masks: str | Sequence[str] | None = None,
    landmarks: "np.ndarray | None" = None,
) -> "np.ndarray":
    """Put the mask that a seed draws from the library on a face.

    Args:
        face: (H, W, 3) uint8 RGB, never written to; or what `align` returns.
        seed: >= 0; the same seed draws the same mask.
        masks: looks or kinds to draw from (`kit.py masks list`); None for the whole mix.
        landmarks: (5, 2), (68, 2) or (106, 2) in the face's pixels; None for those of `align`, or
            the template's of a 112x112 crop.
    Returns:
        A new image like the face.
    Raises:
        KitError: an unknown mask, no RGB image of bytes, or landmarks that cannot be used.
    Example:
        >>> from mfr_kit.masks import drawn_heads
        >>> photo, landmarks = drawn_heads.draw(160)
        >>> masked = mk.put_mask(photo, seed=3, masks="surgical", landmarks=landmarks)
        >>> masked.shape, bool((masked != photo).any())
        ((160, 160, 3), True)
    """
    from mfr_kit.masks.put_mask import put_mask as put

    return put(face, seed, masks, landmarks)


def load_embedder(
    spec: str | Path,
    *,
    normalisation: str | None = None,
    threads: int = 0,
    device: str = "cpu",
    output: str | None = None,
    precision: str = "float32",
) -> "Embedder":
    """Load a recogniser of any kind behind one interface.

    Args:
        spec: an asset ("sface"), an .onnx file, a run folder, a state dict (.pth, .safetensors) of
            one of the kit's backbones, or several with commas between them: an ensemble.
        normalisation: of an .onnx that does not say: "minus1_to_1", "raw_0_255", "imagenet" or
            another of docs/reference/input_formats.md.
        threads: CPU threads, 0 for all.
        device: "cpu", "auto", "cuda", "cuda:N", "tensorrt" or "mps" (docs/guides/gpu.md).
        output: which output to keep of an .onnx that has several.
        precision: "float32", "tf32" (CUDA) or "bf16" (what torch runs) of its products.
    Returns:
        An object with `embed(faces)`: (B, 112, 112, 3) uint8 RGB to (B, D) float32, not
        normalised; and `name`, `embedding_size`, `fingerprint`, `lineage`.
    Raises:
        KitError: not found, no recogniser, or a normalisation or device that it cannot have.
    Example:
        >>> import numpy as np
        >>> embedder = mk.load_embedder("sface")  # needs the asset sface
        >>> embedder.embed(np.zeros((2, 112, 112, 3), np.uint8)).shape
        (2, 128)
    """
    from mfr_kit.models import embedders

    where: Any = {"threads": threads, "device": device, "precision": precision}
    return embedders.load_embedder(spec, normalisation=normalisation, output=output, **where)


def to_tensor(faces: "np.ndarray | Tensor", normalisation: str = "minus1_to_1") -> "Tensor":
    """Turn faces into the input of a network, on the device the faces are on.

    Args:
        faces: (B, 112, 112, 3) uint8 RGB, NumPy or torch.
        normalisation: what the network takes, as in `load_embedder`; the kit's own take the usual.
    Returns:
        (B, 3, 112, 112) float32, in [-1, 1] unless another is named.
    Raises:
        KitError: faces that are not (B, H, W, 3) bytes, or an unknown normalisation.
    Example:
        >>> import numpy as np
        >>> mk.to_tensor(np.zeros((1, 112, 112, 3), np.uint8)).min()
        tensor(-1.)
    """
    from mfr_kit.models import preprocess

    return preprocess.to_tensor(faces, normalisation)


def tar_at_far(
    embeddings: "np.ndarray | Tensor",
    people: Sequence,
    masked: Sequence | None = None,
    fars: float | Sequence[float] = (1e-2, 1e-3, 1e-4),
    *,
    photos: Sequence | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> "list[TarAtFar]":
    """Measure verification: the greatest true-accept rate at each false-accept rate.

    Args:
        embeddings: (N, D) numbers, any norm; NumPy or torch.
        people: (N,) who each of them shows.
        masked: (N,) True where the face wears a mask: masked probes are compared with the bare
            gallery; None: everything with everything, unordered.
        fars: one or more false-accept rates in (0, 1).
        photos: (N,) the photograph each was made from: a face and its masked twin, of one
            photograph, are then no pair. None: all different.
        resamples: bootstrap resamples over people for the 95 % intervals; 0 for none.
        seed: of the resamples, >= 0.
    Returns:
        For each FAR `far`, `tar`, `low`, `high`, `threshold`, `false_accepts` and `note`. `tar` is
        None where fewer than 30 false accepts are left; `note` says so.
    Raises:
        KitError: lengths that differ, an embedding that is not finite or all zeros, or no genuine
            or no impostor comparison.
    Example:
        >>> import numpy as np
        >>> rng, people = np.random.default_rng(0), np.repeat(np.arange(40), 5)
        >>> embeddings = np.eye(40)[people] + 0.2 * rng.normal(size=(200, 40))
        >>> for point in mk.tar_at_far(embeddings, people, fars=[1e-2, 1e-6], resamples=100):
        ...     print(point.tar and f"{point.low:.2f} < {point.tar:.2f} < {point.high:.2f}")
        ...     print(point.note)
        0.62 < 0.69 < 0.74
        <BLANKLINE>
        None
        FAR 1e-06 cannot be measured on 19,500 impostor comparisons: ...
    """
    from mfr_kit.evaluation.verification import arrays

    return arrays.tar_at_far(
        embeddings, people, masked, fars, photos=photos, resamples=resamples, seed=seed
    )


def evaluate(
    models: str | Path | Sequence[str | Path], data: str | Path | None = None, **options: Any
) -> "Evaluation":
    """Measure models on a face set, or on verification sets, as `kit.py evaluate` does.

    Args:
        models: one or more of what `load_embedder` takes, or files of embeddings (.npy, .parquet).
        data: a face set; may be left out with `bin` or `ijb`.
        options: the command's other options by their names: `far=[1e-3]`, `resamples=200`,
            `protocol=["mask-nonmask"]`, `people="val.txt"`.
    Returns:
        What was found: `protocols` has for each protocol `models` with their `tar_at_far`, and
        the `differences` to the first model; `to_dict()` gives what `report.json` holds.
    Raises:
        KitError: an option that there is not, a model or set that cannot be read, or people that a
            model was trained on.
    Example:
        >>> import numpy as np
        >>> faces = mk.draw_face_set(tmp / "faces", people=6, photos=5)
        >>> rows = np.stack([image.mean(axis=0).ravel() for image, label in faces])
        >>> np.save(tmp / "pixels.npy", rows)  # or a model: "sface", "runs/student"
        >>> found = mk.evaluate(tmp / "pixels.npy", tmp / "faces", far=[0.1], resamples=50)
        >>> list(found.protocols)
        ['nonmask-nonmask']
    """
    from mfr_kit.evaluation import run
    from mfr_kit.evaluation.options import EvaluateOptions
    from mfr_kit.options import from_python

    given = [models] if isinstance(models, str | Path) else models
    named = {"models": [str(model) for model in given], "data": data}
    return run.evaluate(from_python(EvaluateOptions, named | options, "evaluate"))


def export_onnx(
    model: "str | Path | nn.Module",
    out: str | Path | None = None,
    *,
    opset: int = 11,
    faces: "np.ndarray | None" = None,
    for_cpu: bool = False,
    report: str | Path | None = None,
) -> "Exported":
    """Write a student as the ONNX file that challenge servers read, and compare it with torch.

    Args:
        model: a run folder, a weights file inside one, or a network of your own:
            (B, 3, 112, 112) in [-1, 1] -> (B, D).
        out: the file; None for `model.onnx` in the run folder.
        opset: 11 to 13.
        faces: (B, 112, 112, 3) uint8 RGB to compare on beside the made-up ones.
        for_cpu: write PReLU as sums, which onnxruntime runs faster on a CPU.
        report: report.json of `kit.py evaluate` on this run: its thresholds go into the file.
    Returns:
        `path`, `size_bytes`, `embedding_size`, `parity` (largest cosine difference to torch by what
        was compared), `counts` of the graph's nodes, `card`.
    Raises:
        KitError: no such run, a network that cannot be written, or a file that disagrees with
            torch; then nothing is written.
    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 28, stride=28), nn.Flatten())
        >>> done = mk.export_onnx(network, tmp / "student.onnx")
        >>> done.path.name, done.embedding_size, max(done.parity.values()) < 1e-4
        ('student.onnx', 128, True)
    """
    from mfr_kit.submission import export

    path, measured = (None if given is None else Path(given) for given in (out, report))
    if isinstance(model, str | Path):
        return export.export_run(Path(model), path, opset, faces, for_cpu, report=measured)
    return export.export_own(model, path, opset, faces, for_cpu, measured)


def check(
    model: str | Path, track: str, *, run: str | Path | None = None, latency: bool = True
) -> "list[Row]":
    """Hold an ONNX file against every rule of a challenge track.

    Args:
        model: the .onnx file.
        track: its name, as `kit.py tracks` lists them.
        run: the run folder it came from: then the two must agree.
        latency: time the model on this machine too.
    Returns:
        A row each rule: `rule`, `limit`, `found`, `margin`, `note`, `verdict` (pass, fail, ...).
    Raises:
        KitError: no such file, track or run folder; a broken rule raises nothing.
    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 28, stride=28), nn.Flatten())
        >>> done = mk.export_onnx(network, tmp / "checked.onnx")
        >>> rows = mk.check(done.path, "ms1m", latency=False)
        >>> [row.rule for row in rows if row.verdict == "fail"]
        ['graph nodes', 'lineage']
    """
    from mfr_kit.submission import check as checks

    return checks.check(Path(model), track, None if run is None else Path(run), latency)
