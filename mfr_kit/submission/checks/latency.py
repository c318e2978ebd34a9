"""How long one image takes: measured here, and estimated for the challenge's V100. Never a
verdict: both are advice.
"""

from mfr_kit.models.onnx_models.signature import FLOATS
from mfr_kit.submission import v100_time
from mfr_kit.submission.rules import ADVISORY, Row, Subject
from mfr_kit.submission.timing import single_image_ms


def rows(subject: Subject) -> list[Row]:
    """Time single images as the organisers do, if asked to and if the model takes faces at all."""
    if not subject.latency or subject.session is None or subject.proto is None:
        return []
    inputs = subject.session.get_inputs()
    if len(inputs) != 1 or inputs[0].shape[1:] != [3, 112, 112] or inputs[0].type not in FLOATS:
        return []
    limits = subject.track.limits
    result = [_here(subject)]
    if (
        limits.time_ms is not None
        and limits.time_on == "v100"
        and inputs[0].type == "tensor(float)"
    ):
        result.append(_on_v100(subject))
    return result


def _here(subject: Subject) -> Row:
    limits = subject.track.limits
    one_thread = limits.time_on == "cpu-thread"
    timed = single_image_ms(subject.path, threads=1 if one_thread else 0)
    limit = (
        f"<= {limits.time_ms:g} ms on one thread, whole pipeline"
        if one_thread
        else "none: a CPU is not comparable"
    )
    return Row(
        "time for one image, here",
        limit,
        f"{timed.median:.2f} ms",
        "",
        ADVISORY,
        f"{timed.describe()}; measured here, not comparable",
        measured=True,
    )


def _on_v100(subject: Subject) -> Row:
    limit, found = subject.track.limits.time_ms, v100_time.timed_here(subject.path)
    assert limit is not None  # a track without one is not timed
    note = (
        f"an estimate: {found.by_work:.2f} ms by the work, the median of {v100_time.ROUNDS} turns "
        f"(half of them within {found.work_low:.2f} to {found.work_high:.2f}) with "
        f"{v100_time.REFERENCE}, which took {v100_time.V100_MS[v100_time.REFERENCE]} ms there; "
        f"{found.by_nodes:.2f} ms by the number of nodes"
    )
    shown = f"{found.low:.1f} to {found.high:.1f} ms"
    return Row(
        "time for one image, V100",
        f"<= {limit:g} ms",
        shown,
        f"{limit - found.high:.1f} ms",
        ADVISORY,
        note,
        measured=True,
    )
