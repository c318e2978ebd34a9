"""What tables of results in a terminal are made of."""


def tar_cell(row: dict, notes: dict[str, str]) -> str:
    """Write a TAR in percent with its interval, "-" for none; `notes` numbers what is noted."""
    mark = " " + notes.setdefault(row["note"], f"[{len(notes) + 1}]") if row["note"] else ""
    if row["tar"] is None:
        return f"-{mark}"
    span = row["interval"]
    interval = f" ({100 * span['low']:.1f}-{100 * span['high']:.1f})" if span else ""
    return f"{100 * row['tar']:.2f}{interval}{mark}"


def difference_line(row: dict, where: str = "") -> str:
    """Write what a model gains over another, in points with the interval of the difference."""
    span = row["interval"]
    low, high = 100 * span["low"], 100 * span["high"]
    sure = "" if low > 0 or high < 0 else ", which may be none"
    change = f"{100 * row['tar_difference']:+.2f} points ({low:+.2f} to {high:+.2f}{sure})"
    at = where or f"at FAR {row['far']:g}"
    return f"  {row['model']} minus {row['against']} {at}: {change}"


def align(rows: list[list[str]]) -> list[str]:
    """Pad cells to columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
