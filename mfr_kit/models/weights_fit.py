"""Find a network's weights among the tensors of a file, under whatever prefix they stand, all of
them or none.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.models.notes import say_once

COUNTER = (
    "num_batches_tracked"  # of a batch norm; some publishers leave it out, and eval mode needs none
)
# a ViT that was trained without leaving tokens out has no token that stands for them
OPTIONAL = (COUNTER, "mask_token")
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
HEAD = re.compile(
    r"heads?|classifier|cls|logits?|arcface|cosface|adaface|margin|margins|loss|criterion|metric_fc|softmax_fc|partial_fc"
)
SHOWN = 8  # keys of a kind in a complaint
FIRST = 3  # keys that show how a file names its tensors


def load_state(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights into a model, all of them or none; see `match`.

    Raises:
        KitError: names up to eight missing, unexpected and misshapen keys each, and the first keys
            found and expected.
    """
    own = model.state_dict()
    model.load_state_dict(match({"": _named(state, where)}, own, where, type(model).__name__))


def refuse_misfit(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Compare weights with a model, which may be on the meta device, without loading them;
    raises as `load_state` does.
    """
    match({"": _named(state, where)}, model.state_dict(), where, type(model).__name__)


def _named(state: Mapping[str, Tensor], where: str) -> Mapping[str, Tensor]:
    if not isinstance(state, Mapping):
        raise KitError(f"{where} holds no state dict (tensors by name)")
    odd = [
        key
        for key, value in state.items()
        if not isinstance(key, str) or not isinstance(value, Tensor)
    ]
    if odd:
        raise KitError(f"{where} holds no state dict (tensors by name): '{odd[0]}' is none")
    return state


def match(
    states: Mapping[str, Mapping[str, Tensor]], own: Mapping[str, Tensor], where: str, name: str
) -> dict[str, Tensor]:
    """Pick a network's weights.

    One prefix before all keys is taken off, counters of batch norms may be missing, and the weights
    of a classifier's head are left out, which is said on the screen.

    Args:
        states: dicts of tensors by their entry in the file.
        own: what the network's `state_dict()` gives; may be on the meta device.
        where: the file, for complaints.
        name: of the network, for complaints.
    Returns:
        a tensor for every key of `own`.
    Raises:
        KitError: no entry fits, or more than one and they differ.
    """
    fits = find(states, own)
    if not fits:
        unlike = f"the weights of {where} do not fit this {name}. {_compare(states, own)}"
        raise KitError(f"{unlike} Check backbone, width and size.")
    first = _picked(fits[0], own)
    others = [label for label, *_ in fits[1:]]
    for fit in fits[1:]:
        if not _are_equal(first, _picked(fit, own)):
            names = ", ".join(f"'{label}'" for label in (fits[0][0], *others))
            raise KitError(f"{where} holds several networks ({names}): save the one that is meant")
    extra = fits[0][3]
    if extra:
        say_once(f"{where}: {len(extra)} tensors of a head are left out: {_some(extra)}")
    wrong = _misshapen(first, own)
    if wrong:
        reason = f"{_kinds({'of another shape': wrong})}. Check backbone, width and size."
        raise KitError(f"the weights of {where} do not fit this {name}. {reason}")
    return first


def find(states: Mapping[str, Mapping[str, Tensor]], own: Mapping[str, Tensor]) -> list[tuple]:
    """Find where all names of a network stand, with nothing beside them but a head: (label,
    state, prefix, keys of the head).
    """
    names = [key for key in own if not key.endswith(OPTIONAL)]
    if not names:
        return [("", state, "", []) for state in states.values() if not state]
    found = []
    for entry, state in states.items():
        prefixes = [
            prefix
            for prefix in _prefixes(state, names[0])
            if all(prefix + key in state for key in names)
        ]
        taken = {prefix + key for prefix in prefixes for key in own}
        rest = [key for key in state if key not in taken and not key.endswith(COUNTER)]
        if all(_is_head(key) for key in rest):
            for prefix in prefixes:
                label = "/".join(part for part in (entry, prefix.rstrip(".")) if part) or "whole"
                found.append((label, state, prefix, rest))
    return found


def strip_prefixes(keys: list[str]) -> str:
    """Return the wrappers (`module.`, `_orig_mod.`, ...) that stand before all keys."""
    taken = ""
    while keys:
        wrapper = next((w for w in WRAPPERS if all(key.startswith(taken + w) for key in keys)), "")
        if not wrapper:
            break
        taken += wrapper
    return taken


def _prefixes(state: Mapping[str, Tensor], anchor: str) -> list[str]:
    ends = [key for key in state if key == anchor or key.endswith(f".{anchor}")]
    return [key.removesuffix(anchor) for key in ends]


def _is_head(key: str) -> bool:
    return any(HEAD.fullmatch(part) for part in key.split("."))


def _picked(fit: tuple, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    _, state, prefix, _ = fit
    return {
        key: state[prefix + key]
        if prefix + key in state
        else torch.zeros(own[key].shape, dtype=own[key].dtype)
        for key in own
    }


def _are_equal(ours: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(ours[key], other[key]) for key in ours if not key.endswith(COUNTER))


def describe_stranger(
    states: Mapping[str, Mapping[str, Tensor]],
    layouts: Mapping[str, Mapping[str, Tensor]],
    where: str,
) -> str:
    """Say that a file holds none of the networks in `layouts` (by name, what `state_dict()`
    gives), and how near the nearest is.
    """
    name = max(layouts, key=lambda ours: _likeness(_nearest(states, layouts[ours]), layouts[ours]))
    count = len(_nearest(states, layouts[name]))
    known = f"not those of any backbone here at width 1 ({', '.join(layouts)})"
    near = f"Nearest is {name}: {_compare(states, layouts[name])}"
    return f"{where}: its {count} tensors are {known}. {near}"


def _likeness(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> float:
    return len(state.keys() & own.keys()) / len(state.keys() | own.keys())


def _nearest(states, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entry that has most of a network's names, its wrappers taken off."""
    plain = []
    for state in states.values():
        prefix = strip_prefixes(list(state))
        plain.append({key.removeprefix(prefix): value for key, value in state.items()})
    return max(plain, key=lambda state: len(state.keys() & own.keys()))


def _compare(states, own: Mapping[str, Tensor]) -> str:
    best = _nearest(states, own)
    kinds = {
        "missing": [key for key in own if key not in best and not key.endswith(OPTIONAL)],
        "unexpected": [key for key in best if key not in own],
        "of another shape": _misshapen(best, own),
    }
    found, expected = ", ".join(list(best)[:FIRST]), ", ".join(list(own)[:FIRST])
    return f"{_kinds(kinds)}. First keys found: {found}; expected: {expected}."


def _misshapen(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]


def _kinds(kinds: dict[str, list[str]]) -> str:
    return "; ".join(f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in kinds.items() if keys)


def _some(keys: list[str]) -> str:
    return f"{', '.join(keys[:SHOWN])}{' ...' if len(keys) > SHOWN else ''}"
