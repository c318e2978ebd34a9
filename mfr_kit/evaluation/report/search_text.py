"""Searches of galleries as lines for a terminal."""

from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.evaluation.report.cells import align, tar_cell
from mfr_kit.evaluation.search.identification import RANKS


def searches(entry: dict, notes: dict[str, str]) -> list[str]:
    """Ranks and FNIR of a searched gallery, a row each model."""
    found = {
        model: result["identification"]
        for model, result in entry["models"].items()
        if "identification" in result
    }
    if not found:
        return []
    any_of = next(iter(found.values()))
    enrolled, searches = any_of["enrolled"], any_of["searches"]
    counted = (
        f"{searches['mated']:,} with a mate, {searches['non_mated']:,} without, "
        f"{searches['not_found']:,} without a face"
    )
    lines = [
        f"  searches: {counted}; in a gallery of {enrolled['people']:,} people, "
        f"{enrolled['photographs']:,} photographs"
    ]
    rows = [
        [
            "model",
            *(f"rank {row['rank']}" for row in any_of["cmc"]),
            *(f"FNIR@FPIR={row['fpir']:g}" for row in any_of["open_set"]),
        ]
    ]
    for model, about in found.items():
        ranks = [_rate(row["rate"], row["interval"]) for row in about["cmc"]]
        rows.append(
            [
                model,
                *ranks,
                *(
                    _rate(row["fnir"], row["interval"], row["note"], notes)
                    for row in about["open_set"]
                ),
            ]
        )
    return [*lines, *align(rows)]


def galleries(entry: dict, notes: dict[str, str]) -> list[str]:
    """Ranks and FNIR of several galleries, a row each gallery and model."""
    found = {
        model: result["searched"]
        for model, result in entry["models"].items()
        if "searched" in result
    }
    if not found:
        return []
    lines = next(
        (
            _among(result["distractors"], result["searched"])
            for result in entry["models"].values()
            if "distractors" in result
        ),
        [],
    )
    fpirs = [line["fpir"] for line in next(iter(found.values()))[0]["open_set"]]
    head = [
        "gallery",
        "model",
        "searches",
        "no face",
        *(f"rank {rank}" for rank in RANKS),
        *(f"FNIR@FPIR={fpir:g}" for fpir in fpirs),
    ]
    rows = [head]
    for number, row in enumerate(next(iter(found.values()))):
        for model, mine in ((model, galleries[number]) for model, galleries in found.items()):
            ranks = {line["rank"]: _rate(line["rate"], line["interval"]) for line in mine["cmc"]}
            fnirs = [
                _rate(line["fnir"], line["interval"], line["note"], notes)
                for line in mine["open_set"]
            ] or ["-"] * len(fpirs)
            counted = f"{mine['searches']['mated']:,}", f"{mine['searches']['not_found']:,}"
            rows.append([row["gallery"], model, *counted, *(ranks[rank] for rank in RANKS), *fnirs])
    return [*lines, *align(rows)]


def _among(about: dict, searched: list[dict]) -> list[str]:
    where = "of a second set" if about["second_set"] else "of people of this set who are not probed"
    missing = about["left_out"]
    left = (
        f"left out: {missing['people']:,} of people who are probed, {missing['not_found']:,} "
        "without a face"
    )
    lines = [
        f"  {about['probed']:,} people searched for among {about['photographs']:,} photographs "
        f"{where} ({left})"
    ]
    each = {row["searches"]["condition"]: row["searches"] for row in searched}
    ways = {NONMASK: ", each both ways", MASK: ""}
    lines += [
        f"  {name} probes: {counted['pairs']:,} pairs of photographs{ways[name]}: "
        f"{counted['mated']:,} searches"
        for name, counted in each.items()
    ]
    rows = [row for row in about["verification"] if row["tar"] is not None]
    return lines + [
        f"  {row['probes']} probes, one to one: TAR {_rate(row['tar'], row['interval'])} % at "
        f"FAR {row['far']:g}"
        for row in rows
    ]


def _rate(
    rate: float | None, span: dict | None, note: str = "", notes: dict[str, str] | None = None
) -> str:
    return tar_cell({"tar": rate, "interval": span, "note": note}, {} if notes is None else notes)
