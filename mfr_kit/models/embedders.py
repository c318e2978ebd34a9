"""Anything that embeds faces, behind one interface: an asset, an ONNX file, a state dict, a run
folder of ours, or several of these.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models import placement
from mfr_kit.models.ensemble import EnsembleEmbedder
from mfr_kit.models.input_format import canonical
from mfr_kit.models.notes import say_once
from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder
from mfr_kit.models.spec import ADAPTED, ASSET_NORMALISATION, WEIGHTS, ModelSpec, parse_specs
from mfr_kit.models.torch_embedder import TorchEmbedder
from mfr_kit.registry import near_path, unknown

if TYPE_CHECKING:
    import torch


class Embedder(Protocol):
    """What `load_embedder` returns. `fingerprint` is the sha256 of the weights in all their
    files (models/identity.py says what else embeddings depend on), `lineage` None where the file
    does not tell.
    """

    name: str
    fingerprint: str
    embedding_size: int
    lineage: dict | None

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised; B may be anything from
        0.
        """
        ...


def load_embedder(
    spec: str | Path,
    *,
    normalisation: str | None = None,
    threads: int = 0,
    device: "str | torch.device" = "cpu",
    output: str | None = None,
    precision: str = "float32",
) -> Embedder:
    """Load a recogniser.

    Args:
        spec: an asset ("sface"), a path to an .onnx, a run folder, a weights file inside one, a
            plain state dict (.pt, .pth, .safetensors) of one of our backbones at width 1 such as
            InsightFace's IResNets, or several of these with commas between them: an ensemble.
            `PATH:raw_0_255` says how this one's input is normalised.
        normalisation: as `input_format.parse` reads it, of those that do not say; needed for an
            .onnx without ours in its metadata.
        threads: CPU threads, 0 for all.
        device: where it runs: a `--device` (`placement.KINDS`). An ONNX file runs there by
            onnxruntime, or as a torch network where onnxruntime has not the device; "auto" says
            where, and leaves on the CPU what the device cannot run.
        output: name of the output to keep of an .onnx that has several.
        precision: of the products, one of `placement.PRECISIONS`.
    Raises:
        KitError: not found, not a recogniser, a normalisation missing or contradicting the file, or
            a device or precision that it cannot have.
    """
    if normalisation is not None:
        normalisation = canonical(normalisation)
    if precision not in placement.PRECISIONS:
        raise KitError(unknown("value for --precision", precision, list(placement.PRECISIONS)))
    name = str(device)
    there = placement.resolve_unless_cpu(name)
    place = None if there is None or there.type == "cpu" else there
    members = [
        _put(
            _load(part, normalisation, threads, (place, precision), output), name, place, precision
        )
        for part in parse_specs(spec)
    ]
    whole = members[0] if len(members) == 1 else EnsembleEmbedder(members)
    if name == "auto" and placement.is_first_rank():
        for part in members:
            engine = "onnxruntime" if isinstance(part, OnnxEmbedder) else "torch"
            where = "the CPU" if place is None or part.device == "cpu" else str(place)
            say_once(f"--device auto: {engine} runs {part.name} on {where}")
    return whole


def _put(
    member: OnnxEmbedder | TorchEmbedder, name: str, place: "torch.device | None", precision: str
) -> OnnxEmbedder | TorchEmbedder:
    """Bring one model, as `_load` gives it, to its device.

    Raises:
        KitError: the device cannot run it, or not in this precision.
    """
    if not isinstance(member, OnnxEmbedder):
        return member
    if place is not None:
        from mfr_kit.models.onnx_models.converted_embedder import on_device

        return on_device(member, name, place, precision)
    if precision != "float32":
        raise KitError(
            f"{member.path}: onnxruntime runs it on the CPU in float32: leave --precision "
            f"{precision} out, or give --device cuda"
        )
    return member


def _load(
    spec: ModelSpec,
    usual: str | None,
    threads: int,
    how: "tuple[torch.device | None, str]",
    output: str | None,
) -> OnnxEmbedder | TorchEmbedder:
    """Load one model; `usual` is the normalisation of those that do not say."""
    named, own = spec
    if named in ASSET_NORMALISATION:
        fixed = _fixed(spec, ASSET_NORMALISATION[named], usual)
        entry = assets.asset(named)
        found = assets.path(entry.name)
        return OnnxEmbedder(found, fixed, threads, name=entry.name, lineage=entry.lineage)
    path = Path(named)
    if (path / ADAPTED).is_file() and not (path / "student.pt").is_file():
        found, name = path / ADAPTED, path.name
        return OnnxEmbedder(found, own, threads, name=name, output=output, usual=usual)
    if path.suffix.lower() == ".onnx" and path.exists() and not (path / "config.toml").is_file():
        return OnnxEmbedder(path, own, threads, output=output, usual=usual)
    if path.is_dir() or (path.suffix.lower() in WEIGHTS and path.is_file()):
        place, precision = how
        network = TorchEmbedder(path, threads, place or "cpu", precision, own)
        _fixed(spec, network.normalisation, usual)
        return network
    known = ", ".join(sorted(ASSET_NORMALISATION))
    kinds = f"no .onnx file, no state dict ({', '.join(WEIGHTS)}) and no run folder"
    hint = near_path(named, sorted(ASSET_NORMALISATION))
    if path.suffix.lower() in (".csv", ".npz", ".txt", ".npy", ".parquet"):
        hint = "; embeddings come as .npy or .parquet, to `kit.py evaluate`"
    raise KitError(f"no model '{named}': it is no asset ({known}), {kinds}{hint}")


def _fixed(spec: ModelSpec, normalisation: str, usual: str | None) -> str:
    """Return the one normalisation that a model takes.

    Raises:
        KitError: another one is written behind it.
    """
    place, own = spec
    if own not in (None, normalisation):
        raise KitError(f"{place} takes {normalisation}: leave ':{own}' behind it out")
    if own is None and usual not in (None, normalisation):
        say_once(
            f"{place} takes {normalisation}, as it says itself: --normalisation {usual} is not "
            "for it"
        )
    return normalisation
