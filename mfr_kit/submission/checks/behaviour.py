"""Rules about what the model does: run in a batch, finite, the same twice, one face at a time,
like the run it came from.
"""

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.submission.rules import FAIL, Row, Subject, at_most, requirement

BATCH = 32
TOLERANCE = 1e-4  # cosine difference
SAME = 1e-5  # difference, of the largest value, that rounding explains
AGREES = "agrees with its run, fed as the server feeds"


def rows(subject: Subject) -> list[Row]:
    """Run the model on made-up colour faces: single, in a batch, black, white."""
    from mfr_kit.submission.export import colour_faces

    if subject.session is None or subject.proto is None:
        return []
    faces = colour_faces(BATCH)
    try:
        single = subject.embed(faces[:1])
    except KitError as error:
        return [Row("runs on one face", "runs", str(error), verdict=FAIL)]
    if single.ndim != 2 or len(single) != 1:
        return [
            Row(
                "runs on one face",
                "(1, D)",
                str(single.shape),
                verdict=FAIL,
                note="one row of numbers for one face is wanted",
            )
        ]
    result = [requirement("runs on one face", "(1, D)", str(single.shape), True)]
    if subject.track.limits.embedding_size is not None:
        result.append(
            at_most("embedding size", subject.track.limits.embedding_size, single.shape[1])
        )
    parts = {
        "finite embeddings": lambda: [_finite(subject, faces)],
        "deterministic": lambda: [_repeats(subject, faces[:1], single)],
        f"runs on a batch of {BATCH}": lambda: _batch(subject, faces),
        "different faces differ": lambda: [_tells_apart(subject, faces)],
        "a mirrored face differs": lambda: [_sees_mirroring(subject, faces)],
        AGREES: lambda: [_agrees(subject, faces)] if subject.run is not None else [],
    }
    for rule, part in parts.items():
        try:
            result += part()
        except KitError as error:
            result.append(Row(rule, "runs", str(error), verdict=FAIL))
    return result


def _finite(subject: Subject, faces: np.ndarray) -> Row:
    kinds = {
        "noise": faces[:1],
        "black": np.zeros_like(faces[:1]),
        "white": np.full_like(faces[:1], 255),
    }
    bad = [name for name, face in kinds.items() if not np.isfinite(subject.embed(face)).all()]
    return requirement(
        "finite embeddings",
        "noise, black, white",
        f"NaN or infinity on {', '.join(bad)}" if bad else "all finite",
        not bad,
        "the checker adds up the output",
    )


def _repeats(subject: Subject, face: np.ndarray, first: np.ndarray) -> Row:
    same = all(np.array_equal(subject.embed(face), first) for _ in range(3))
    return requirement(
        "deterministic",
        "4 runs equal",
        "equal" if same else "different",
        same,
        "a random operation (dropout?) is left in the graph",
    )


def _batch(subject: Subject, faces: np.ndarray) -> list[Row]:
    together = subject.embed(faces)
    if together.ndim != 2 or len(together) != BATCH:
        return [
            Row(f"runs on a batch of {BATCH}", f"({BATCH}, D)", str(together.shape), verdict=FAIL)
        ]
    finite = bool(np.isfinite(together.sum()))
    alone = np.concatenate([subject.embed(face[None]) for face in faces])
    shown = f"{together.shape}, {'finite' if finite else 'not finite'}"
    return [
        requirement(f"runs on a batch of {BATCH}", f"({BATCH}, D), finite sum", shown, finite),
        _close(
            "a batch equals single faces",
            _worst(alone, together),
            "faces of a batch influence each other: implicit batch inference",
        ),
    ]


def _tells_apart(subject: Subject, faces: np.ndarray) -> Row:
    found = np.concatenate([subject.embed(face[None]) for face in faces[:2]])
    differ = (
        bool(np.isfinite(found).all())
        and bool(np.linalg.norm(found, axis=1).all())
        and not np.array_equal(found[0], found[1])
    )
    return requirement(
        "different faces differ",
        "two faces, two embeddings",
        "different" if differ else "equal or zero",
        differ,
        "the output does not depend on the input",
    )


def _sees_mirroring(subject: Subject, faces: np.ndarray) -> Row:
    """Find a flip test however it is built: summed, joined or compared, a face and its mirror
    image then give the same numbers.
    """
    same = []
    for face in faces[:3]:
        plain, mirrored = (
            np.sort(subject.embed(image[None])[0]) for image in (face, face[:, ::-1])
        )
        same.append(np.abs(plain - mirrored).max() <= SAME * np.abs(plain).max())
    return requirement(
        "a mirrored face differs",
        "other numbers",
        "the same numbers" if all(same) else "other numbers",
        not all(same),
        "the graph embeds the face and its mirror image: a flip test inside is forbidden (note "
        "of 2021-07-16)",
    )


def _agrees(subject: Subject, faces: np.ndarray) -> Row:
    """Compare with the torch run on colour faces: a swapped channel or another scale cannot be
    seen on grey ones.
    """
    import torch

    from mfr_kit.models import preprocess
    from mfr_kit.submission.checks.normalisation import guess

    assert subject.run is not None  # nobody asks without one
    with torch.inference_mode():
        network = subject.run.model
        form = preprocess.input_of_network(network)
        wanted = network(preprocess.to_tensor(faces, form)).numpy()
    planes = preprocess.to_input(faces, guess(subject))
    found = np.concatenate([subject.run_model(face[None]) for face in planes])
    if found.shape != wanted.shape:
        return Row(AGREES, str(wanted.shape), str(found.shape), verdict=FAIL)
    return _close(
        "agrees with its run, fed as the server feeds",
        _worst(wanted, found),
        "channel order, scale or weights differ from the run",
    )


def _worst(a: np.ndarray, b: np.ndarray) -> float:
    from mfr_kit.submission.export import centred_difference

    return float(np.max(centred_difference(a, b)))


def _close(rule: str, found: float, note: str) -> Row:
    holds = found <= TOLERANCE
    return Row(
        rule,
        f"cosine, mean removed, within {TOLERANCE:g}",
        f"{found:.1e}",
        f"{TOLERANCE - found:.1e}",
        "pass" if holds else FAIL,
        "" if holds else note,
        measured=True,
    )
