"""What only a device can show: correctness against the CPU, then promises against bare loops.

    python benchmarks/gpu.py --out results/gpu/NAME [--device cuda] [--only SECTION ...]

Needs no data, and neither albumentations nor insightface. Correctness: one training step of every
method with the bank on the device, bank rows, embeddings of three backbones, counts of
all-against-all, mining, views, export, and a process group of one rank. Promises, as ratios to a
bare loop on the same device in the same run: `bank_step`, `bank_fill`, `embed`, `all_to_all`,
`mining_93k`; `render` against a number of views a second, with what a worker still takes for one;
`render_step` says what making them takes of a training step.
`--device cpu` runs the correctness part, cpu against cpu, through the same functions. A section
that fails prints the last line of its traceback and the next one runs. Exit code 1 if any failed or
missed. (The file is not called cuda.py, which would hide the package that torch imports.)
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import gpu_promises, gpu_same
from mfr_kit.models import placement


def sections(on_cuda: bool) -> dict[str, Callable[[torch.device, Path], dict]]:
    """Name what runs, in order; promises want a device, but those of views run anywhere."""
    promised = gpu_promises.SECTIONS
    anywhere = {name: section for name, section in promised.items() if name.startswith("render")}
    return {**gpu_same.SECTIONS, **(promised if on_cuda else anywhere)}


def run(name: str, section: Callable, device: torch.device) -> dict:
    """Run one section and print its line; an error in it is its result."""
    started, threads = time.perf_counter(), torch.get_num_threads()
    if device.type == "cpu":  # where others compute too, threads would wait for each other
        torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = section(device, Path(folder))
    except Exception as error:  # noqa: BLE001  one failure does not end the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        last = traceback.format_exception_only(error)[-1].strip()
        found = {"ok": False, "error": f"{last} ({Path(where.filename).name}:{where.lineno})"}
    torch.set_num_threads(threads)
    found["seconds"] = round(time.perf_counter() - started, 1)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if "wanted" in found:
        print(
            f"promise {name} ratio={found['ratio']:.3f} wanted>={found['wanted']:.2f} "
            f'yardstick="{found["yardstick"]}"',
            flush=True,
        )
    print(
        f"{'ok  ' if found['ok'] else 'FAIL'} {name} {json.dumps(found, default=float)}", flush=True
    )
    return found


def about(device: torch.device) -> dict:
    """Say what the figures were measured on."""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": card, "torch": torch.__version__, "cuda": torch.version.cuda}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder for gpu.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="*", help="names of sections")
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        print("torch sees no CUDA device; `--device cpu` runs the correctness part. On one I run:")
        print("\n".join(sections(True)))
        return 0
    device = placement.resolve(given.device)
    placement.set_tf32(False)
    found = {}
    for name, section in sections(device.type == "cuda").items():
        if not given.only or name in given.only:
            found[name] = run(name, section, device)
            if given.out:  # after every section: what is killed leaves what it had
                given.out.mkdir(parents=True, exist_ok=True)
                record = {**about(device), "sections": found}
                (given.out / "gpu.json").write_text(
                    json.dumps(record, indent=2, default=float) + "\n"
                )
    return int(not all(one["ok"] for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
