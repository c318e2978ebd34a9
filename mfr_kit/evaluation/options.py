"""What `kit.py evaluate` can be told."""

from dataclasses import dataclass
from pathlib import Path

from mfr_kit.data.lists import ListOptions
from mfr_kit.errors import KitError
from mfr_kit.options import like, option


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `kit.py evaluate`; see the help of each."""

    models: list[str] = option(
        argument=True,
        help="One or more: an asset (sface), an .onnx file, a state dict (.pth, .safetensors), "
        "a run folder, or embeddings of the set (.npy, "
        ".parquet).",
    )
    data: Path | None = option(
        None, help="Face set, as `augment` writes it; may be left out with --bin or --ijb."
    )
    realigned: Path | None = option(
        None,
        help="The same photographs aligned in another way: every model on both, compared with "
        "the first model on "
        "--data.",
    )
    bin: list[Path] | None = option(
        None,
        help="Verification set (lfw.bin, cfp_fp.bin, ...), may be repeated: accuracy in ten folds.",
    )
    ijb: list[Path] | None = option(
        None,
        help="Folder of IJB-B or IJB-C (meta, loose_crop), may be repeated: its pairs of "
        "templates.",
    )
    people: Path | None = option(None, help="List of names, one a line: measure these people only.")
    allow_unknown: bool = like(ListOptions, "allow_unknown")
    allow_overlap: bool = option(
        False,
        help="Measure people that a model was trained on, too; the report says how many they are.",
    )
    sample_people: int | None = option(
        None,
        help="Measure so many people, drawn by --seed: for sets too large to measure whole; the "
        "intervals say how sure that "
        "is.",
    )
    protocol: list[str] | None = option(
        None,
        help="Protocol, may be repeated; default: all that the set allows but what is asked for "
        "by name (see "
        "docs/guides/evaluating.md).",
    )
    mask_seed: int = option(0, help="Seed of the masks that --protocol synthetic-mask draws, >= 0.")
    pairs: Path | None = option(
        None, help="List of pairs as LFW or MLFW publishes it (pairs.txt), for --protocol lfw."
    )
    groups: Path | None = option(
        None,
        help="CSV `identity,group`: --protocol all-to-all with a row each group; default: the "
        "set's "
        "groups.csv.",
    )
    enrol: int = option(
        0,
        help="Photographs of a person to enrol, for --protocol identification (1 unless given), "
        "which it also asks "
        "for.",
    )
    distractors: list[str] | None = option(
        None,
        help="Strangers for --protocol distractors, which it also asks for: a second face set, "
        "or a file of embeddings (.npy, .parquet) "
        "of each model in their order. Default: people of the set who are not probed.",
    )
    far: list[float] | None = option(
        None, help="False-accept rate in (0, 1), may be repeated; default: 1e-2, 1e-3 and 1e-4."
    )
    out: Path | None = option(
        None, writes="folder", help="Folder for report.json, report.csv and report.html."
    )
    faces: bool = option(
        True,
        help="Show the worst errors in the report, as pictures with file names; --no-faces "
        "leaves out "
        "both.",
    )
    explain: int = option(
        0, help="Pairs of whose faces the report shows what the score rests on, clean and masked."
    )
    gallery: str | None = option(
        None, help="Model whose enrolled templates the probes of MODELS are compared with as well."
    )
    operating_point: float | None = option(
        None, help="False-match rate in (0, 1): print thresholds and FNMR with and without masks."
    )
    flip: bool = option(False, help="Add the embedding of the mirrored face.")
    resamples: int = option(
        1000, help="Bootstrap resamples over people for the 95 % intervals; 0 for none."
    )
    seed: int = option(0, help="Seed of the resamples, of --sample-people and of who is enrolled.")
    normalisation: str | None = option(
        None,
        help="minus1_to_1 or raw_0_255: the input of every .onnx that does not say; "
        "MODEL.onnx:raw_0_255 says it for "
        "one.",
    )
    output: str | None = option(
        None, help="Output to keep of an .onnx model that has several, by its name."
    )
    batch: int = option(64, help="Faces a run of the network.")
    threads: int = option(0, help="CPU threads of the network; 0 for all.")
    cache: bool = option(True, help="Keep embeddings in the kit's cache folder and use those kept.")

    def __post_init__(self) -> None:
        if self.data is None:
            self._without_a_set()
        asked = [("--far", far) for far in self.far or ()] + [
            ("--operating-point", self.operating_point)
        ]
        for flag, rate in asked:
            if rate is not None and not 0 < rate < 1:
                raise KitError(f"{flag} {rate:g} is not between 0 and 1")
        if self.resamples < 0:
            raise KitError(
                f"--resamples {self.resamples}: give 0 for no intervals, or a number of resamples"
            )
        if min(self.seed, self.mask_seed) < 0:
            given = f"--seed {self.seed}, --mask-seed {self.mask_seed}"
            raise KitError(f"{given}: give 0 or more")
        self._sample()
        self._gallery()
        self._distractors()
        self._other_alignment()
        if self.batch < 1:
            raise KitError(f"--batch {self.batch}: at least one face")
        if self.explain < 0:
            raise KitError(f"--explain {self.explain}: give a number of pairs, or 0 for none")
        if self.explain and not (self.out and self.faces):
            missing = "give its folder with --out" if self.faces else "leave --no-faces out"
            raise KitError(f"--explain {self.explain} shows faces in the report: {missing}")
        twice = sorted({name for name in self.models if self.models.count(name) > 1})
        if twice:
            raise KitError(f"model '{twice[0]}' is given twice")

    def _gallery(self) -> None:
        if self.enrol < 0:
            raise KitError(f"--enrol {self.enrol}: at least one photograph of a person")

    def _distractors(self) -> None:
        if self.distractors and self.protocol and "distractors" not in self.protocol:
            raise KitError(
                "--distractors serves --protocol distractors: ask for that too, or leave "
                "--protocol out"
            )

    def _other_alignment(self) -> None:
        given = [
            name
            for name in ("bin", "ijb", "gallery", "explain", "distractors")
            if getattr(self, name)
        ]
        drawn = [name for name in self.protocol or () if name.replace("_", "-") == "synthetic-mask"]
        if self.realigned and (given or drawn):
            other = f"--{given[0]}" if given else f"--protocol {drawn[0]}"
            raise KitError(
                f"--realigned compares two alignments of one set, {other} knows one: leave one "
                "of the two out"
            )

    def _sample(self) -> None:
        if self.sample_people is not None and self.sample_people < 2:
            raise KitError(f"--sample-people {self.sample_people}: at least two people")
        if self.sample_people and not self.resamples:
            raise KitError(
                "--sample-people with --resamples 0: what a sample says needs its interval"
            )

    def _without_a_set(self) -> None:
        if not (self.bin or self.ijb):
            raise KitError(
                "--data is missing: give a face set, as `augment` writes it, or verification "
                "sets with --bin or --ijb"
            )
        for name in (
            "realigned",
            "people",
            "sample_people",
            "protocol",
            "pairs",
            "groups",
            "enrol",
            "distractors",
            "gallery",
            "operating_point",
            "explain",
        ):
            if getattr(self, name):
                raise KitError(
                    f"--{name.replace('_', '-')} asks for a face set: give one with --data"
                )
