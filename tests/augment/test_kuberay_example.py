"""The example for KubeRay starts what the kit knows, on the Ray that the kit pins."""

import shlex
import tomllib
from pathlib import Path

import yaml

from mfr_kit.augment.options import AugmentOptions

ROOT = Path(__file__).resolve().parents[2]


def test_the_ray_job_is_well_formed_and_its_command_is_one_of_the_kit():
    job = yaml.safe_load((ROOT / "examples/augment_kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, command, src, dst, *words = shlex.split(job["spec"]["entrypoint"])
    assert (program, command) == ("mfr-kit", "augment")
    given = {flag[2:]: value for flag, value in zip(words[::2], words[1::2], strict=True)}
    options = AugmentOptions(src=Path(src), dst=Path(dst), **{**given, "shards": 512})
    assert (options.engine, options.address, given["shards"]) == ("ray", "auto", "512")

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    spec = job["spec"]["rayClusterSpec"]
    assert extras["cluster"] == [f"ray=={spec['rayVersion']}"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        places = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert any(Path(src).is_relative_to(place) for place in places)
        assert any(Path(dst).is_relative_to(place) for place in places)
        assert [volume["name"] for volume in pod["volumes"]] == [
            mount["name"] for mount in container["volumeMounts"]
        ]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
