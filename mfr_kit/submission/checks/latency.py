"""How long one image takes, here. Never a verdict: the challenge's machine is another one."""

from mfr_kit.submission.rules import ADVISORY, Row, Subject
from mfr_kit.submission.timing import single_image_ms


def rows(subject: Subject) -> list[Row]:
    """Time single images as the organisers do, if asked to."""
    if subject.session is None or not subject.latency or subject.inputs[0].type.tensor_type.elem_type != 1:
        return []
    limits = subject.track.limits
    threads = 1 if limits.time_on == "cpu-thread" else 0
    timed = single_image_ms(subject.path, threads)
    limit = f"<= {limits.time_ms:g} ms on {limits.time_on}" if limits.time_ms is not None else "none set"
    margin = f"{limits.time_ms - timed.fast:.1f} ms" if limits.time_ms is not None else ""
    cores = "one thread" if threads == 1 else "all cores"
    note = f"CPU, {cores}, half the runs within {timed.low:.1f} to {timed.high:.1f} ms: measured here, not comparable"
    return [Row("time for one image", limit, f"{timed.fast:.1f} ms", margin, ADVISORY, note, measured=True)]
