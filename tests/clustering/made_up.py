"""Faces of people who are known, and the embedder that a test knows."""

import cv2
import numpy as np

from mfr_kit.data.images import encode


class Colours:
    """The mean colours of a face's four quarters."""

    name, fingerprint, embedding_size, lineage = "colours", "0", 12, None

    def embed(self, faces):
        quarters = faces.reshape(len(faces), 2, 56, 2, 56, 3).mean((2, 4)).reshape(len(faces), -1)
        return (quarters - 128).astype(np.float32)


def face(person, photo):
    """Four flat quarters, alike on both sides, that name the person; a little noise that names the
    photograph.
    """
    code = np.array([40 + 176 * ((9 * person + 7) >> bit & 1) for bit in range(6)], np.float64)
    quarters = np.repeat(code.reshape(2, 1, 3), 2, axis=1)
    quarters += np.random.default_rng(1000 + 37 * person + photo).normal(0, 6, (2, 2, 3))
    small = np.clip(quarters, 0, 255).astype(np.uint8)
    return cv2.resize(small, (112, 112), interpolation=cv2.INTER_NEAREST)


def write_unlabelled(folder, counts):
    """Write a folder in which every face is a person of its own; return who each truly is, in the
    order of the folder's names.
    """
    truth = [person for person, count in enumerate(counts) for _ in range(count)]
    truth = np.random.default_rng(5).permutation(truth)
    for row, person in enumerate(truth.tolist()):
        (folder / f"{row:04}").mkdir(parents=True)
        (folder / f"{row:04}" / "0.png").write_bytes(encode(face(person, row), ".png"))
    return truth


def same_division(one, other):
    """Whether two labellings divide rows in the same way."""
    pairs = set(zip(list(one), list(other), strict=True))
    return len(pairs) == len(set(one)) == len(set(other))
