"""What a rule looks at (`Subject`) and what it says (`Row`)."""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from mfr_kit.errors import KitError
from mfr_kit.models import input_format, preprocess
from mfr_kit.models.onnx_models import onnx_file, runtime
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.weights import Run
from mfr_kit.submission.tracks import Track

PASS, FAIL, ADVISORY = "pass", "fail", "advisory"


@dataclass(frozen=True)
class Row:
    """One rule applied to one model. `measured` marks what another run of the check may find a
    little different.
    """

    rule: str
    limit: str
    found: str
    margin: str = ""
    verdict: str = PASS
    note: str = ""
    measured: bool = False


def requirement(rule: str, limit: str, found: str, holds: bool, note: str = "") -> Row:
    """A rule that holds or not; the note is shown where it does not."""
    return Row(rule, limit, found, "", PASS if holds else FAIL, "" if holds else note)


def at_most(rule: str, limit: float, found: float, unit: str = "", note: str = "") -> Row:
    """A rule with an upper limit; the margin is what is left of it, negative where it is passed."""
    left = limit - found
    verdict = PASS if found <= limit else FAIL
    return Row(
        rule,
        f"<= {_number(limit, unit)}",
        _number(found, unit),
        _number(left, unit),
        verdict,
        note if verdict == FAIL else "",
    )


def at_least(rule: str, limit: float, found: float, unit: str = "", note: str = "") -> Row:
    """A rule with a lower limit; the margin is what is above it."""
    verdict = PASS if found >= limit else FAIL
    return Row(
        rule,
        f">= {_number(limit, unit)}",
        _number(found, unit),
        _number(found - limit, unit),
        verdict,
        note if verdict == FAIL else "",
    )


def judge(rule: str, part: Callable[["Subject"], list[Row]], subject: "Subject") -> list[Row]:
    """The rows of a part of the rules; a failed row named `rule` where the file is so odd that the
    part cannot judge it.

    A file from outside may hold any protobuf. What it does to a rule is a finding about the file,
    and hides no other rule.
    """
    try:
        return [in_one_line(row) for row in part(subject)]
    except Exception as error:  # noqa: BLE001  any kind: onnx, numpy and protobuf raise many for a graph against the standard
        reason = f"{type(error).__name__}: {onnx_file.one_line(error)}"
        note = "the rule cannot be applied to such a graph"
        return [Row(rule, "can be judged", reason, verdict=FAIL, note=note)]


def in_one_line(row: Row) -> Row:
    """The row without the line breaks and control characters that names in a file may hold."""
    limit, found, note = map(onnx_file.printable, (row.limit, row.found, row.note))
    return replace(row, limit=limit, found=found, note=note)


class Subject:
    """A model file under examination; nothing is written anywhere. What cannot be read is None,
    with the reason in `*_error`.
    """

    def __init__(
        self, path: Path, track: Track, run: Run | None = None, latency: bool = True
    ) -> None:
        self.path, self.track, self.run, self.latency = Path(path), track, run, latency

    def under(self, track: Track) -> "Subject":
        """The same file under another track's rules; what was parsed and opened is shared."""
        other = copy.copy(self)
        other.track = track
        return other

    @functools.cached_property
    def _parsed(self) -> tuple[onnx.ModelProto | None, str]:
        try:
            return onnx_file.load(self.path), ""
        except KitError as error:
            return None, str(error).removeprefix(f"{self.path}: ")

    @functools.cached_property
    def _opened(self):
        try:
            return open_session(self.path), ""
        except KitError as error:
            return None, str(error)

    @property
    def proto(self) -> onnx.ModelProto | None:
        """The parsed file, its external data left where it lies."""
        return self._parsed[0]

    @property
    def parsed(self) -> onnx.ModelProto:
        """`proto`, for those who have seen that it is there."""
        assert self.proto is not None
        return self.proto

    @property
    def proto_error(self) -> str:
        return self._parsed[1]

    @property
    def session(self):
        """The onnxruntime session, all cores."""
        return self._opened[0]

    @property
    def session_error(self) -> str:
        return self._opened[1]

    @functools.cached_property
    def metadata(self) -> dict[str, str]:
        return {item.key: item.value for item in self.proto.metadata_props} if self.proto else {}

    @functools.cached_property
    def inputs(self) -> list[onnx.ValueInfoProto]:
        """The graph's inputs, without the initializers that old files list among them."""
        weights = {item.name for item in self.parsed.graph.initializer}
        return [item for item in self.parsed.graph.input if item.name not in weights]

    @functools.cached_property
    def _tensors(self) -> tuple[dict[str, np.ndarray], list[str]]:
        found, broken = {}, []
        stored = [(item.name, item) for item in self.parsed.graph.initializer]
        for node in self.parsed.graph.node:
            if node.op_type == "Constant" and node.output:
                value = next((item.t for item in node.attribute if item.name == "value"), None)
                if value is not None:
                    stored.append((node.output[0], value))
        for name, item in stored:
            if item.data_location == TensorProto.EXTERNAL:
                continue
            try:
                found[name] = numpy_helper.to_array(item)
            except Exception:  # noqa: BLE001  numpy and onnx raise several kinds
                broken.append(name)
        return found, broken

    @property
    def constants(self) -> dict[str, np.ndarray]:
        """Initializers and Constant nodes by name; external data and what cannot be read are
        left out.
        """
        return self._tensors[0]

    @property
    def unreadable(self) -> list[str]:
        """Names of constants whose type is undefined, or whose bytes do not fill their shape."""
        return self._tensors[1]

    @functools.cached_property
    def normalisation(self) -> str:
        """What the network wants fed: its metadata, else what arithmetic its graph begins with."""
        stored = self.metadata.get(preprocess.META_NORMALISATION)
        if stored is not None and input_format.is_description(stored):
            return input_format.canonical(stored)
        return "raw_0_255" if self.normalises_itself else "minus1_to_1"

    @functools.cached_property
    def normalises_itself(self) -> bool:
        """Whether a shift by a constant stands between the pixels and the first layer that mixes
        them.
        """
        reached, shifted = {item.name for item in self.inputs[:1]}, False
        for node in self.parsed.graph.node:
            if reached.isdisjoint(node.input) or node.op_type not in PIXELWISE:
                continue
            reached.update(node.output)
            shifted |= node.op_type in ("Sub", "Add") and any(
                _is_shift(self.constants.get(name)) for name in node.input
            )
        return shifted

    def run_model(self, planes: np.ndarray) -> np.ndarray:
        """Run the first output on (B, 3, H, W) float32.

        Raises:
            KitError: onnxruntime stops.
        """
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if not inputs or not outputs:
            raise KitError(f"{len(inputs)} inputs and {len(outputs)} outputs: nothing to run")
        out = runtime.run(self.session, [outputs[0].name], {inputs[0].name: planes}, "the model")[0]
        if not isinstance(out, np.ndarray) or out.dtype.kind not in "fiu":
            raise KitError(f"output '{outputs[0].name}' holds no numbers: {outputs[0].type}")
        return out

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """Run on (B, 112, 112, 3) uint8 RGB, normalised as the network wants it."""
        return self.run_model(preprocess.to_input(faces, self.normalisation))


PIXELWISE = ("Sub", "Add", "Mul", "Div", "Identity", "Cast", "Transpose", "Unsqueeze", "Reshape")

Rule = Callable[[Subject], list[Row]]


def _is_shift(values: np.ndarray | None) -> bool:
    return values is not None and values.dtype.kind == "f" and bool(np.any(np.abs(values) > 1e-6))


def _number(value: float, unit: str) -> str:
    text = (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.3g}"
        if abs(value) < 10
        else f"{value:,.1f}"
    )
    return f"{text} {unit}".rstrip()
