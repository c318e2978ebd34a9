import json

import pytest
import torch

from mfr_kit import registry
from mfr_kit.models import preprocess, weights
from mfr_kit.submission import export

MS1M_LINEAGE = {
    "training_sets": [
        {"name": "MS1M-V3", "fingerprint": "f", "faces": 5_179_510, "people": 93_431}
    ],
    "teacher": None,
    "initial_weights": None,
    "masks": {},
    "kit_version": "0.1.0",
}


def write_run(folder, lineage=MS1M_LINEAGE, **config):
    """Write a finished run of a narrow MobileFaceNet whose batch norms have seen something."""
    config = {"student": "mobilefacenet", "embedding_size": 64, "width": 0.25, **config}
    torch.manual_seed(0)
    model = weights.build_backbone(config["student"], config["embedding_size"], config["width"])
    for module in model.modules():
        # torch's own start lets all faces collapse to one embedding
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    folder.mkdir(parents=True, exist_ok=True)
    weights.write_text(folder / weights.CONFIG, weights.to_toml(config))
    weights.write_text(folder / weights.LINEAGE, json.dumps(lineage))
    weights.save(folder / weights.STUDENT, model.state_dict())
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run folder whose student may enter ms1m, with its exported `model.onnx` inside."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "small")
    export.export_run(folder)
    return folder


def settle(model):
    """Give a network with random weights batch norms that know its own values: with torch's
    own start all faces collapse to one embedding, and invented statistics explode over a
    hundred layers.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.momentum = None  # take over the statistics of the batch that follows
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):
                if tensor is not None:
                    torch.nn.init.uniform_(tensor, low, high)
    with torch.no_grad():
        model.train()(preprocess.to_tensor(export.colour_faces(8)))
    return model.eval()


def one_of_each_family():
    """The backbones, of those that differ only in depth or width the smallest: iresnet18 stands
    for iresnet200, edgeface-s for edgeface-xxs, vit-t for all ViTs.
    """
    families = {}
    for name in registry.names(weights.BACKBONES):
        family = name.partition("-")[0]
        family = family.rstrip("0123456789") if family.startswith("ir") else family
        families.setdefault(family, []).append(name)
    small = [min(names, key=lambda name: (len(name), name)) for names in families.values()]
    return ["vit-t" if name.startswith("vit") else name for name in small]
