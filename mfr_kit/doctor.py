"""`kit.py doctor`: what this machine has for the kit, what is missing, and what is slow and why."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mfr_kit import __version__, assets
from mfr_kit.audit.unit_rows import nearest_folder
from mfr_kit.errors import KitError

PACKAGES = (
    *("numpy", "torch", "onnx", "onnxruntime", "opencv-python-headless"),
    *("albumentations", "pyarrow", "typer"),
)
OPTIONAL = {
    "tensorboard": "distill --tensorboard",
    "ray": "--engine ray",
    "faiss": "audit and cluster --search faiss",
    "openvino": "export-onnx --runs-on openvino",
}
FREE_GIB, MEMORY_GIB = 5, 4  # below which a line says that it is little
BUSY = 0.5  # load per core from which others are said to be at work
RUNS = 7


def examine(speed: bool = True) -> Iterator[str]:
    """Yield what was found, a line each; hints on what is missing or slow come last.

    Args:
        speed: time a detection, an embedding and a mask, which takes some seconds.
    """
    hints: list[str] = []
    yield f"MFR Kit {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield from _packages(hints)
    yield from _machine(hints)
    yield from _devices(hints)
    yield from _models(hints)
    if speed:
        yield from _speeds(hints)
    yield ""
    yield from (f"hint: {hint}" for hint in hints)
    if not hints:
        yield "all is there, and nothing is slower than this machine"


def _packages(hints: list[str]) -> Iterator[str]:
    found = {name: _version(name) for name in PACKAGES}
    yield "packages   " + ", ".join(f"{name} {version}" for name, version in found.items())
    missing = [name for name, version in found.items() if version == "-"]
    if missing:
        hints.append(f"{', '.join(missing)} missing: pip install -r requirements.txt")
    there = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    absent = [f"{name} (for {use})" for name, use in OPTIONAL.items() if name not in there]
    yield f"optional   {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def usable_cores() -> int:
    """Count the cores that this process may use, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine(hints: list[str]) -> Iterator[str]:
    cores, load = usable_cores(), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    yield f"cores      {cores} of {os.cpu_count()}, load {load:.1f}; {_vectors() or 'no AVX2'}"
    if load > BUSY * cores:
        hints.append(
            f"other processes keep {cores} cores busy (load {load:.1f}): times here will be "
            "longer, and --threads and --workers above what is left slow everything"
        )
    memory = _memory_gib()
    if memory is not None:
        yield f"memory     {memory[1]:.1f} of {memory[0]:.1f} GiB free"
        if memory[1] < MEMORY_GIB:
            hints.append(f"{memory[1]:.1f} GiB of memory are free: fewer --workers need less")
    for what, folder in (("here", Path.cwd()), ("cache", assets.home())):
        free = shutil.disk_usage(nearest_folder(folder)).free / 2**30
        yield f"disk       {free:.0f} GiB free {what} ({folder})"
        if free < FREE_GIB:
            hints.append(
                f"{folder} has {free:.1f} GiB left: a teacher's bank of a million faces takes 4 GiB"
            )


def _vectors() -> str:
    """Name the vector instructions that matter, as Linux lists them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    flags = set(text.partition("flags")[2].partition("\n")[0].split())
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX"}
    return ", ".join(word for flag, word in known.items() if flag in flags)


def _memory_gib() -> tuple[float, float] | None:
    """(all, available), where the system says."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
        return kib["MemTotal"] / 2**20, kib["MemAvailable"] / 2**20
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _devices(hints: list[str]) -> Iterator[str]:
    import onnxruntime
    import torch

    names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
    threads = torch.get_num_threads()
    yield f"devices    {', '.join(names) or 'no CUDA device'}; torch uses {threads} threads"
    known = onnxruntime.get_available_providers()
    offered = [name.removesuffix("ExecutionProvider") for name in known]
    yield f"providers  onnxruntime: {', '.join(offered)}"
    if not names:
        hints.append(
            "no CUDA device: adapt SFace or train a small network from the bank; a large one takes "
            "days on a CPU (`kit.py distill --dry-run` says how long)"
        )
    elif "CUDA" not in offered:
        hints.append(
            "onnxruntime has no CUDA provider: teachers in ONNX run on the CPU; pip "
            "install onnxruntime-gpu in place of onnxruntime"
        )


def _models(hints: list[str]) -> Iterator[str]:
    there: list[str] = []
    absent: list[str] = []
    for entry in assets.ASSETS.values():
        (absent if assets.find(entry) is None else there).append(entry.name)
    yield f"models     {', '.join(there) or 'none'}; not here: {', '.join(absent) or 'none'}"
    for name in ("yunet", "sface"):
        if name in absent:
            hints.append(
                f"the asset {name} is missing, which most commands need: `kit.py assets "
                f"list` says where it comes from, `kit.py assets fetch {name}` gets it"
            )


def _speeds(hints: list[str]) -> Iterator[str]:
    """Time what the long jobs do most; a model that is missing or broken is a hint."""
    for what, unit, make in (
        ("detection", "photographs/s a process", _detection),
        ("embedding", "faces/s with sface", _embedding),
        ("masks", "masks/s a process", _masking),
    ):
        try:
            count, work = make()
        except KitError as error:
            hints.append(f"{what} cannot run: {error}")
            continue
        work()
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        median = statistics.median(times)
        yield f"speed      {what}: {count / median:,.0f} {unit}"
        if max(times) > 2 * median:
            hints.append(
                f"the time of {what} varies by a factor of {max(times) / min(times):.1f}: "
                "something else uses this machine"
            )


def _detection() -> tuple[int, Callable[[], object]]:
    from mfr_kit.data.alignment.detect import load_detector
    from mfr_kit.masks import drawn_heads

    detector, image = load_detector(), drawn_heads.draw(320, 10.0)[0]
    return 1, lambda: detector.detect(image)


def _embedding() -> tuple[int, Callable[[], object]]:
    import numpy as np

    from mfr_kit.masks import drawn_heads
    from mfr_kit.models.embedders import load_embedder

    embedder, face = load_embedder("sface"), drawn_heads.draw(112, 10.0)[0]
    batch = np.stack([face] * 16)
    return len(batch), lambda: embedder.embed(batch)


def _masking() -> tuple[int, Callable[[], object]]:
    from mfr_kit.masks import drawn_heads, library
    from mfr_kit.masks.render import from_library
    from mfr_kit.seeding import rng_for

    put_on, (image, landmarks) = from_library(library.load()), drawn_heads.draw(112, 10.0)
    return 1, lambda: put_on(image, landmarks, rng_for(0, 1))
