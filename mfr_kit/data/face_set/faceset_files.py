"""The three side files of a face set, read and checked: `faces.parquet`, `skipped.csv` and
`faceset.json`.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mfr_kit import tables
from mfr_kit.data.named_files import OUTSIDE
from mfr_kit.errors import KitError
from mfr_kit.records import read_csv, read_json, shown
from mfr_kit.spreadsheet import unguard

NONMASK, MASK = "nonmask", "mask"
NO_FACE = "no_face"  # the reason of a skipped row that an evaluation must count as a non-match
ROWS, SKIPPED, ABOUT = "faces.parquet", "skipped.csv", "faceset.json"
SCHEMA = pa.schema(
    [
        # the image's path inside the set; its name, where the images are records
        ("key", pa.string()),
        ("source", pa.string()),  # the photograph's path inside the folder it came from
        ("identity", pa.string()),
        ("condition", pa.string()),  # NONMASK or MASK (a twin, or a really masked photograph)
        ("landmarks", pa.list_(pa.float32())),  # x0, y0, x1, y1, ... in the aligned frame
        # a, b, tx, ty of [[a, -b, tx], [b, a, ty]], from the photograph to the aligned frame
        ("similarity", pa.list_(pa.float32(), 4)),
        ("score", pa.float32()),  # detector confidence in [0, 1]; 1 where nobody detected
        ("clean_key", pa.string()),  # of a masked twin: the key of its clean face; else ""
        ("mask", pa.string()),  # JSON of the drawn mask's parameters; "" without one
        ("digest", pa.string()),  # BLAKE2b-64 of the encoded image
    ]
)
ALIGNED = (1.0, 0.0, 0.0, 0.0)  # the `similarity` of a face that was aligned already
# only in a set of records: see storage.py
RECORD_COLUMNS = (pa.field("shard", pa.int32()), pa.field("record", pa.int64()))
SKIPPED_COLUMNS = ("source", "identity", "condition", "clean_key", "reason", "detail")
CONDITIONS = (NONMASK, MASK)
FARTHEST = 1e5  # pixels: a landmark or a shift beyond is no measurement
COUNTS = {"faces": int, "twins": int, "skipped": int}
# digests of what a row file belongs to, and fingerprints: see row_file.py
ROW_RECORD: dict[str, type] = dict.fromkeys(("table", "skipped", "file"), str)
ROW_RECORD |= dict.fromkeys(("all", "clean", "people", "clean_people"), str)
ABOUT_SHAPE = {"counts?": COUNTS, "options?": {"mask_on?": (str, None)}, "rows?": ROW_RECORD}
ADVICE = "make the face set again with `kit.py augment`, or copy the file again from where it came"


def read_faces(folder: Path, skipped: list[dict]) -> pa.Table:
    """Read the rows of a face set, in the types of `SCHEMA`; with `RECORD_COLUMNS` where the set
    has them.

    Args:
        folder: of the set.
        skipped: from `read_skipped`; a twin of a photograph whose own face was not found has no
            clean face to name.
    Raises:
        KitError: damaged, a column missing or of another type, an empty field, an unknown
            condition, a key twice, a twin of nothing; names column and row.
    """
    where = str(folder / ROWS)
    table = check_rows(tables.read_parquet(folder / ROWS, ADVICE), where)
    faceless = {
        row["source"] for row in skipped if row["reason"] == NO_FACE and not row["clean_key"]
    }
    _refuse_twins(table, faceless, where)
    return table


def check_rows(raw: pa.Table, where: str) -> pa.Table:
    """Check what each row says by itself, and return the rows in the types of `SCHEMA`.

    Raises:
        KitError: as of `read_faces`; `where` names the file.
    """
    columns = {
        name: tables.as_text(raw, name, where, ADVICE)
        for name in ("key", "source", "identity", "condition")
    }
    for name, width in (("landmarks", None), ("similarity", 4)):
        lists = tables.as_lists(raw, name, width, where, ADVICE)
        columns[name] = lists.cast(SCHEMA.field(name).type)
    columns["score"] = tables.as_numbers(raw, "score", pa.float32(), where, ADVICE)
    columns |= {
        name: tables.as_text(raw, name, where, ADVICE) for name in ("clean_key", "mask", "digest")
    }
    fields = list(SCHEMA)
    if any(field.name in raw.column_names for field in RECORD_COLUMNS):
        fields += RECORD_COLUMNS
        for field in RECORD_COLUMNS:
            numbers = tables.as_numbers(raw, field.name, field.type, where, ADVICE)
            tables.refuse_where(pc.less(numbers, 0), "is negative", field.name, where, ADVICE)
            columns[field.name] = numbers
    table = pa.table(columns).select([field.name for field in fields])
    _refuse_values(table, where)
    return table


def _refuse_values(table: pa.Table, where: str) -> None:
    """Refuse what no row can say."""

    def refuse(name: str, bad: pa.ChunkedArray, how: str) -> None:
        tables.refuse_where(bad, how, name, where, ADVICE)

    for name in ("key", "identity"):
        refuse(name, pc.equal(table[name], ""), "is empty")
    known = pc.is_in(table["condition"], pa.array(CONDITIONS))
    refuse("condition", pc.invert(known), f"is neither {NONMASK} nor {MASK}")
    outside = pc.match_substring_regex(table["key"], OUTSIDE)
    refuse("key", outside, "names a file outside of the set")
    counts = pc.list_value_length(table["landmarks"])
    odd = pc.or_(pc.equal(counts, 0), pc.equal(pc.bit_wise_and(counts, 1), 1))
    refuse("landmarks", odd, "has no pairs of x and y")
    score = table["score"]
    refuse("score", pc.or_(pc.less(score, 0), pc.greater(score, 1.001)), "is not within 0 and 1")
    has_mask = pc.not_equal(table["mask"], "")
    refuse("mask", pc.and_(has_mask, _is_clean(table)), f"is given for a face that is {NONMASK}")
    braces = pc.match_substring_regex(table["mask"], r"(?s)^\{.*\}$")
    refuse("mask", pc.and_(has_mask, pc.invert(braces)), "is no JSON table")
    still = pc.equal(pc.list_element(table["similarity"], 0), 0)
    flat = pc.and_(still, pc.equal(pc.list_element(table["similarity"], 1), 0))
    refuse("similarity", flat, "has a scale of 0")
    for name in ("landmarks", "similarity"):
        far = pc.greater(pc.abs(pc.list_flatten(table[name])), FARTHEST)
        if pc.any(far).as_py():
            raise KitError(f"{where}: column '{name}' has numbers beyond {FARTHEST:g}; {ADVICE}")


def _refuse_twins(table: pa.Table, faceless: set[str], where: str) -> None:
    """Refuse a key that stands twice, and a twin whose clean face is not there, is another
    person's, or is no clean face.
    """
    keys = table["key"].combine_chunks()
    if pc.count_distinct(keys).as_py() != len(keys):
        counted = pc.value_counts(keys)
        twice = counted.filter(pc.greater(counted.field("counts"), 1))[0]["values"].as_py()
        raise KitError(f"{where}: the key {shown(twice)} stands there twice; {ADVICE}")
    is_twin = pc.not_equal(table["clean_key"], "")
    tables.refuse_where(
        pc.and_(is_twin, _is_clean(table)),
        f"is given for a face that is {NONMASK}",
        "clean_key",
        where,
        ADVICE,
    )
    twins = table.filter(is_twin)
    rows = pc.index_in(twins["clean_key"], value_set=keys)
    astray = twins.filter(rows.is_null()).select(["clean_key", "source"]).to_pylist()
    astray = [row for row in astray if row["source"] not in faceless]
    if astray:
        found = f"column 'clean_key' names {shown(astray[0]['clean_key'])}"
        raise KitError(f"{where}: {found}, which is no key there; {ADVICE}")
    twins, rows = twins.filter(rows.is_valid()), rows.drop_null()
    clean = table.select(["identity", "condition"]).take(rows)
    for bad, how in (
        (pc.not_equal(clean["identity"], twins["identity"]), "is another person's"),
        (pc.not_equal(clean["condition"], NONMASK), "is masked itself"),
    ):
        if pc.any(bad).as_py():
            key = twins["key"].filter(bad)[0].as_py()
            raise KitError(f"{where}: the clean face of the twin {shown(key)} {how}; {ADVICE}")


def _is_clean(table: pa.Table) -> pa.ChunkedArray:
    return pc.equal(table["condition"], NONMASK)


def read_skipped(folder: Path) -> list[dict]:
    """Read the photographs that gave no face, [] where the set has no such file.

    Raises:
        KitError: damaged, a column missing, or a row without a reason or of an unknown condition;
            names the line.
    """
    path = folder / SKIPPED
    if not path.is_file():
        return []
    rows = []
    for line, cells in read_csv(path, SKIPPED_COLUMNS, ADVICE):
        row = {name: unguard(cell) for name, cell in cells.items()}
        if row["condition"] not in (*CONDITIONS, "") or not row["reason"]:
            found = f"condition {shown(row['condition'])} and reason {shown(row['reason'])}"
            wanted = f"{NONMASK}, {MASK} or nothing, and a reason"
            raise KitError(f"{path}: line {line}: {found}, expected {wanted}; {ADVICE}")
        if row["reason"] == NO_FACE and not (row["identity"] and row["condition"]):
            wanted = "an identity and a condition: it counts as a face that was not found"
            raise KitError(f"{path}: line {line}: reason {NO_FACE} needs {wanted}; {ADVICE}")
        rows.append(row)
    return rows


def read_about(folder: Path) -> dict:
    """Read what `faceset.json` says, {} where the set has no such file.

    Raises:
        KitError: damaged, or of another shape; names the key.
    """
    path = folder / ABOUT
    return read_json(path, ABOUT_SHAPE, ADVICE) if path.is_file() else {}


def compare_counts(folder: Path, found: dict[str, int], about: dict) -> None:
    """Say on stderr where `faceset.json` counts other rows than there are: one of the files was
    cut, edited or is of another set.
    """
    if "counts" not in about:
        return
    for name, count in found.items():
        if about["counts"][name] != count:
            file = folder / (SKIPPED if name == "skipped" else ROWS)
            print(
                f"warning: {folder / ABOUT} counts {about['counts'][name]} {name}, but {file} "
                f"has {count}: one of the two was cut, "
                "edited or is of another set; what follows is of the rows that are there",
                file=sys.stderr,
            )
