"""The mask library in words: the table of looks, and what many draws come to."""

from collections import Counter
from pathlib import Path

import numpy as np

from mfr_kit.masks import library, variation
from mfr_kit.seeding import rng_for

_NUMBERS = (
    "top",
    "bottom",
    "width",
    "shift",
    "tilt_deg",
    "relief",
    "softness",
    "shadow",
    "crumple",
    "dirt",
)


def table(folder: Path | None = None) -> str:
    """List the looks of a folder of masks (None: the kit's own): name, kind, share of all draws,
    print, wearing styles.
    """
    looks = library.looks(folder)
    shares = library.load(None, folder).shares
    lines = [f"{'look':20} {'kind':11} {'share':>6}  {'print':11} styles"]
    for name, look in sorted(looks.items(), key=lambda item: (item[1].kind, item[0])):
        share = f"{100 * shares[name]:5.1f}%" if name in shares else "   off"
        lines.append(
            f"{name:20} {look.kind:11} {share:>6}  {look.pattern:11} {' '.join(look.fit.styles)}"
        )
    lines.append(
        f"{len(looks)} looks of {len({look.kind for look in looks.values()})} kinds; 'off' ones "
        "are drawn only when named"
    )
    return "\n".join(lines)


def counts(masks: list[str] | None, folder: Path | None, draws: int, seed: int) -> str:
    """Count what many draws come to.

    Args:
        masks: looks or kinds to draw from; None for the whole mix.
        folder: of masks; None for the kit's own.
        draws: number of samples, >= 1.
        seed: same seed, same draws.
    """
    chosen = library.load(masks, folder)
    sample = [chosen.draw(rng_for(seed, index)) for index in range(draws)]
    lines = []
    for title, values in (
        ("kind", [mask.look.kind for mask in sample]),
        ("look", [mask.look.name for mask in sample]),
        ("style", [mask.parameters["style"] for mask in sample]),
    ):
        lines.append(f"{title} ({len(set(values))})")
        lines += [
            f"  {name:20} {100 * count / len(sample):6.2f} %"
            for name, count in Counter(values).most_common()
        ]
    lines.append(
        f"{'parameter':12} {'5 %':>9} {'median':>9} {'95 %':>9}   (mm, degrees or factors; see "
        "masks/mix.toml)"
    )
    for name in _NUMBERS:
        low, middle, high = np.percentile([mask.parameters[name] for mask in sample], (5, 50, 95))
        lines.append(f"{name:12} {low:9.3f} {middle:9.3f} {high:9.3f}")
    stained = sum(mask.parameters["dirt"] > 0 for mask in sample) / len(sample)
    lines.append(f"stained: {100 * stained:.1f} %; styles known: {', '.join(variation.STYLES)}")
    return "\n".join(lines)
