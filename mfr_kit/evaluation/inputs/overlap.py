"""People that are measured and that a model was trained on: their figures flatter, so that they
are refused unless asked for.
"""

from collections.abc import Iterable

from mfr_kit.data.lists import quoted
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embedding_file import is_embedding_file
from mfr_kit.models import trained_people

NAMED = 3  # people that the refusal names


def find_overlap(specs: Iterable[str], measured: Iterable[str], allowed: bool) -> list[dict]:
    """Look for the people that are measured among those that models were trained on, themselves and
    by what they descend from.

    Args:
        specs: the models as they were given; files of embeddings say nothing.
        measured: names of the people.
        allowed: --allow-overlap.
    Returns:
        A row each model that was trained on some of them: `model`, `people` (how many), `measured`
        (of how many), `exact` (False: a Bloom filter counted, which errs for one in 100,000),
        `trained_on` (the ancestors that were) and `text`, all of it in words.
    Raises:
        KitError: there are some, and they are not allowed; or what a model says of its people is
            damaged.
    """
    names, rows = sorted(set(measured)), []
    for spec in dict.fromkeys(specs):
        if is_embedding_file(spec):
            continue
        try:
            groups = trained_people.groups_of(spec)
        except KitError as error:
            if not allowed:
                raise KitError(f"{error}; or measure with it unchecked (--allow-overlap)") from None
            continue
        found = trained_people.among(groups, names)
        if not found:
            continue
        line = [group for group in groups if trained_people.among([group], names)]
        through = dict.fromkeys(group["model"] for group in line if group["model"])
        row = {
            "model": str(spec),
            "people": len(found),
            "measured": len(names),
            "exact": trained_people.is_exact(line),
            "trained_on": list(through),
        }
        row["text"] = _text(row)
        if not allowed:
            raise KitError(_refusal(row, found))
        rows.append(row)
    return rows


def count_trained(spec: str) -> list[dict] | None:
    """How many people a model (`model` is "") and its ancestors were trained on; None where it
    does not say.
    """
    if is_embedding_file(spec):
        return None
    try:
        groups = trained_people.groups_of(spec)
    except KitError:
        return None
    return [{"model": group["model"], "people": group["people"]} for group in groups] or None


def _text(row: dict) -> str:
    how_many = f"{row['people']:,}" if row["exact"] else f"about {row['people']:,}"
    through = f" (through {', '.join(row['trained_on'])})" if row["trained_on"] else ""
    return (
        f"{row['model']} was trained on {how_many} of the {row['measured']:,} people "
        f"measured{through}"
    )


def _refusal(row: dict, found: list[str]) -> str:
    some = ", ".join(quoted(name) for name in found[:NAMED]) + (", ..." * (len(found) > NAMED))
    return (
        f"{row['text']} ({some}): its figures would flatter. Measure others with --people, "
        "or, where this is meant or these are other people of the same names, add --allow-overlap"
    )
