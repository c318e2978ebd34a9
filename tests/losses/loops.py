"""What the slow recomputations of losses share: one sample, one pair at a time."""

import math

import numpy as np


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def squared(a, b):
    """Squared distance of the two unit vectors."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def kl(wanted, found):
    return sum(p * math.log(p / q) for p, q in zip(wanted, found, strict=True) if p > 0)


def turned_softmax(sample, centres, label, scale, margin):
    """Cross-entropy of one sample, the angle to its own centre enlarged."""
    logits = []
    for index, centre in enumerate(centres):
        near = cosine(sample, centre)
        if index == label:
            near = math.cos(min(max(math.acos(near) + margin, 1e-3), math.pi - 1e-3))
        logits.append(scale * near)
    return -math.log(softmax(np.array(logits))[label])
