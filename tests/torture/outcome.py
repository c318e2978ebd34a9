"""What a round of a row gave."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Outcome:
    """Trials of one round or of many: how many of each kind, what went wrong, and the greatest
    value seen of what was measured ("peak MiB", "slowest s").
    """

    trials: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    most: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str, value: float) -> None:
        """Keep a value if it is the greatest so far."""
        self.most[name] = max(value, self.most.get(name, value))

    def add(self, other: "Outcome") -> None:
        """Take in the trials of another."""
        self.trials.update(other.trials)
        self.wrong += other.wrong
        for name, value in other.most.items():
            self.measure(name, value)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads; trials by name."""
        return {**asdict(self), "trials": dict(sorted(self.trials.items()))}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcome":
        """Read what `to_json` gave; other keys are nobody's."""
        return cls(Counter(value["trials"]), list(value["wrong"]), dict(value["most"]))
