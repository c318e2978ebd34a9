"""Randomness that depends on what a sample IS, never on which worker drew it or in what order."""

import hashlib

import numpy as np


def rng_for(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of one sample: the same for equal `(seed, *key)` on every machine and
    worker.

    Args:
        seed: the run's seed, >= 0.
        key: what names the sample, for instance `(epoch, index)`; each >= 0.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *key))))


def key_of(text: str) -> int:
    """Turn a name (a photo's path inside its set) into a 63-bit key for `rng_for`; unlike
    `hash`, it never changes.
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
