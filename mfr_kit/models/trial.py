"""ONNX files of others, tried in a process of its own before they run in this one.

Assets and what lies in run folders is ours and goes without. What passes is run at full speed here:
`graph_dangers` has refused sizes that pixels decide, so that a batch of black faces takes what any
other takes.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mfr_kit import limited_process
from mfr_kit.models.input_format import USUAL, InputUnknown
from mfr_kit.models.spec import ASSET_NORMALISATION, ModelSpec, parse_specs

BATCH = 32  # faces


def try_models(
    specs: Iterable[str],
    limit_s: int,
    limit_mib: int,
    normalisation: str | None = None,
    output: str | None = None,
) -> None:
    """Open each ONNX file that is given by its path, and embed a batch, under limits.

    Args:
        specs: as for `load_embedder`; ensembles too.
        limit_s: seconds that one file may take.
        limit_mib: memory that it may take.
        normalisation: of those that do not say.
        output: name of the output to keep.
    Raises:
        KitError: a limit was passed, or what `load_embedder` says of the file.
    """
    foreign = {part: None for spec in specs for part in parse_specs(spec) if is_foreign(part)}
    for place, own in foreign:
        given = {"place": place, "own": own, "usual": normalisation, "output": output}
        limited_process.call(f"{__name__}:embed_once", given, place, limit_s, limit_mib, True)


def is_foreign(part: ModelSpec) -> bool:
    """Whether a model is an ONNX file that may be anybody's."""
    path = Path(part.place)
    named = part.place not in ASSET_NORMALISATION and path.suffix.lower() == ".onnx"
    return named and path.is_file()


def embed_once(place: str, own: str | None, usual: str | None, output: str | None) -> None:
    """What the process does."""
    from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder

    path = Path(place)
    try:
        embedder = OnnxEmbedder(path, own, output=output, usual=usual)
    except InputUnknown:  # the caller says so, where it has to
        embedder = OnnxEmbedder(path, own, output=output, usual=USUAL)
    embedder.embed(np.zeros((BATCH, 112, 112, 3), np.uint8))
