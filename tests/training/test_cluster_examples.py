"""The examples for Slurm and Kubernetes start what the kit and torchrun know."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import yaml
from torch.distributed.run import get_args_parser

from mfr_kit.training.options import distill_options

EXAMPLES = Path(__file__).parents[2] / "examples"
FLAGS = {"--" + name.replace("_", "-") for name in distill_options().__dataclass_fields__}


def check(command: list[str], nodes: str) -> list[str]:
    """Check a command as torchrun parses it; return what distill is given."""
    assert command[0] == "torchrun"
    parsed = get_args_parser().parse_args(command[1:])
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.max_restarts) == (nodes, "8", 3)
    assert re.fullmatch(r"[\w.-]+:\d+", parsed.rdzv_endpoint) and parsed.rdzv_backend == "c10d"
    assert parsed.training_script.endswith("mfr-kit")
    assert parsed.training_script_args[0] == "distill"
    given = [word for word in parsed.training_script_args if word.startswith("--")]
    assert set(given) - {"--config"} <= FLAGS and "--resume" in given
    return parsed.training_script_args[1:]


def test_the_slurm_job_starts_a_rank_a_gpu_on_all_nodes(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    said = tmp_path / "said"
    for name, does in {
        "scontrol": "printf 'node7\\nnode9\\n'",
        "srun": f'for word in "$@"; do echo "$word"; done > {said}',
        "mfr-kit": "exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    environment |= {"SLURM_JOB_NODELIST": "node[7,9]", "SLURM_NNODES": "2"}
    environment |= {"SLURM_GPUS_ON_NODE": "8", "SLURM_JOB_ID": "31"}
    script = ["bash", str(EXAMPLES / "distill_slurm.sh"), "--config", "a b.toml", "--out", "run"]
    subprocess.run(script, check=True, env=environment)
    option, *command = said.read_text().splitlines()
    assert option == "--kill-on-bad-exit" and "node7:29400" in command
    assert check(command, "2")[:4] == ["--config", "a b.toml", "--out", "run"]


def test_the_kubernetes_job_is_well_formed_and_its_pods_meet_at_the_service():
    service, job = yaml.safe_load_all((EXAMPLES / "distill_kubernetes.yaml").read_text())
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    name, pod = service["metadata"]["name"], job["spec"]["template"]["spec"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == name and job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    (container,) = pod["containers"]
    assert {volume["name"] for volume in pod["volumes"]} == {
        mount["name"] for mount in container["volumeMounts"]
    }
    (script,) = container["args"]
    subprocess.run(["bash", "-n", "-c", script], check=True)
    words = shlex.split(script.replace('"$(command -v mfr-kit)"', "/usr/bin/mfr-kit"))
    check(words[1:], "2")
    assert f"{job['metadata']['name']}-0.{name}:29400" in words
