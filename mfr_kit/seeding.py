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


def uniform(
    seeds: tuple[int, ...], epochs: np.ndarray, indices: np.ndarray, count: int
) -> np.ndarray:
    """Draw `count` numbers in [0, 1) for each of many samples at once: a hash of
    (*seeds, epoch, index, number), the same whatever else is in the batch.

    Args:
        seeds: of the run and of the purpose.
        epochs: (B,) pass of each sample.
        indices: (B,) index of each sample.
        count: numbers a sample.
    Returns:
        (B, count) float64.
    Source: the finaliser of SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number
        Generators*, OOPSLA 2014), chained over the parts of the key.
    """
    state = np.zeros(len(epochs), np.uint64)
    for part in (*(np.full(len(epochs), seed) for seed in seeds), epochs, indices):
        state = _mixed(state + _GOLDEN + part.astype(np.int64).view(np.uint64))
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return (_mixed(state[:, None] + steps) >> np.uint64(11)) * 2.0**-53


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
