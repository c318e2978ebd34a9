import json

import pytest

from mfr_kit.models import weights


@pytest.fixture
def make_run():
    """Return a function that writes a finished run of a tiny MobileFaceNet into a folder and
    returns its model.
    """

    def make_run(folder, **config):
        config = {"student": "mobilefacenet", "embedding_size": 16, "width": 0.125, **config}
        model = weights.build_backbone(config["student"], config["embedding_size"], config["width"])
        weights.write_text(folder / weights.CONFIG, weights.to_toml(config))
        weights.write_text(folder / weights.LINEAGE, json.dumps({"training_sets": []}))
        weights.save(folder / weights.STUDENT, model.state_dict())
        return model

    return make_run
