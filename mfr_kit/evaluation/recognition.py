"""Load what is measured, and embed faces with it: recognisers, and files of stored embeddings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.drawn_masks import MaskedFaces
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set
from mfr_kit.evaluation.inputs.embedding_file import EmbeddingFile, is_embedding_file
from mfr_kit.evaluation.inputs.faces import Faces, from_set
from mfr_kit.evaluation.inputs.overlap import count_trained
from mfr_kit.evaluation.published import bin_sets, templates
from mfr_kit.evaluation.published.bin_sets import BinSet
from mfr_kit.evaluation.published.templates import TemplatePairs
from mfr_kit.evaluation.settings import Recognition
from mfr_kit.evaluation.verification.rates import Outcome, Plan
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.embedding_pool import load_on, release
from mfr_kit.progress import Progress

Source = Embedder | EmbeddingFile


@dataclass(frozen=True)
class Recogniser:
    """One of the models that are measured.

    Attributes:
        label: what reports call it, different for each.
        spec: what the user gave.
        source: the model, or its stored embeddings.
    """

    label: str
    spec: str
    source: Source

    def about(self) -> dict:
        """Say in plain values which model this is."""
        return {
            "name": self.label,
            "given": self.spec,
            "fingerprint": self.source.fingerprint,
            "exported_from": getattr(self.source, "exported_from", None),
            "embedding_size": self.source.embedding_size,
            "lineage": self.source.lineage,
            "trained_people": count_trained(self.spec),
        }


def load_all(
    specs: list[str], how: Recognition, keys: np.ndarray | None
) -> Iterator[tuple[int, Recogniser]]:
    """Load one model after the other, with its number.

    Args:
        specs: what the user gave.
        how: they are loaded.
        keys: of the whole face set, for stored embeddings.
    """
    taken: set[str] = set()
    for number, spec in enumerate(specs):
        source = load(spec, how, keys)
        label = source.name if source.name not in taken else spec
        taken.add(label)
        yield number, Recogniser(label, spec, source)
        release(source)


def load(spec: str, how: Recognition, keys: np.ndarray | None) -> Source:
    """Load a model, or the embeddings that a file holds of the faces with these keys.

    Raises:
        KitError: it cannot be read, or mirrored faces are asked of a file.
    """
    if not is_embedding_file(spec):
        return load_on(
            how.engine,
            spec,
            normalisation=how.normalisation,
            threads=how.threads,
            output=how.output,
            device=how.device,
            precision=how.precision,
        )
    if how.flip:
        raise KitError(
            f"--flip: {spec} holds embeddings, there is nothing to mirror; add the mirrored ones "
            "where they are made"
        )
    assert keys is not None  # files stand beside a face set; options.py sees to it
    return EmbeddingFile(Path(spec), keys)


def refuse_files(specs: list[str], flag: str, why: str) -> None:
    """Refuse stored embeddings where a model is needed.

    Raises:
        KitError: there is a file of embeddings among `specs`; names it, and `why`.
    """
    for spec in filter(is_embedding_file, specs):
        raise KitError(f"{flag}: {spec} holds embeddings{why}: leave one of the two out")


def embed(source: Source, faceset: FaceSet, how: Recognition) -> Faces:
    """Embed the faces of a set, or look their embeddings up."""
    if isinstance(source, EmbeddingFile):
        return from_set(source.of(faceset), faceset)
    return from_set(embed_rows(source, faceset, how), faceset)


def embed_rows(embedder: Source, faceset: FaceSet | MaskedFaces, how: Recognition) -> np.ndarray:
    """Embed what a model has to see; (len(faceset), D) float32."""
    assert not isinstance(embedder, EmbeddingFile)  # refused before
    cache = cache_folder() if how.cache else None
    with show_progress(f"embedding with {embedder.name}", len(faceset)) as progress:
        return embed_set(
            embedder, faceset, flip=how.flip, batch=how.batch, cache=cache, progress=progress
        )


def measure_pairs(
    embedder: Source, pairs: BinSet | TemplatePairs, plan: Plan, how: Recognition
) -> Outcome:
    """Measure a model on a verification set."""
    assert not isinstance(embedder, EmbeddingFile)  # refused before
    cache = cache_folder() if how.cache else None
    with show_progress(f"embedding {pairs.name} with {embedder.name}", len(pairs)) as progress:
        if isinstance(pairs, TemplatePairs):
            return templates.measure(
                embedder, pairs, plan, batch=how.batch, cache=cache, progress=progress
            )
        return bin_sets.measure(
            embedder, pairs, plan, batch=how.batch, cache=cache, progress=progress
        )


@contextmanager
def show_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many faces are done; what it yields is told how many more are."""
    with Progress(total, what, "faces") as progress:
        yield progress.advance
