"""Whose checkpoint a file of tensors is, told by its keys: what its network takes for a pixel, what
has to be done to its tensors, and why some cannot be loaded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mfr_kit.errors import KitError
from mfr_kit.models.input_format import USUAL, InputFormat, parse

States = Mapping[str, Mapping[str, Tensor]]
VARIANCE = "running_var"
OWN_EPS = 1e-5  # of the batch norms of our IResNets


@dataclass(frozen=True)
class Publisher:
    """One layout of somebody's checkpoints.

    Args:
        name: of the project.
        backbones: of ours that take its weights, for people.
        key: pattern that one of a file's keys matches wholly.
        normalisation: what its networks take; "" where the keys do not tell.
        source: where the layout and the pixels are read from.
        refused: why it does not load; "" where it does.
        prefix: pattern of what stands before its network's names, where a head of its own lies
            beside them; all else is left out.
        eps: of its batch norms, where ours have another.
    """

    name: str
    backbones: str
    key: str
    normalisation: str
    source: str
    refused: str = ""
    prefix: str = ""
    eps: float = OWN_EPS


# the first that matches counts
PUBLISHERS = (
    Publisher(
        "facenet-pytorch InceptionResnetV1",
        "",
        r"(.*\.)?conv2d_1a\.conv\.weight",
        "",
        "timesler/facenet-pytorch models/inception_resnet_v1.py",
        "it takes faces of 160x160 pixels, cut out by a box with a margin; the kit's are 112x112, "
        "aligned by five landmarks",
    ),
    Publisher(
        "CVLface ViT-KPRPE",
        "",
        r"(.*\.)?keypoint_linear\..*",
        "",
        "mk-minchul/CVLface models/vit_kprpe/vit.py",
        "it needs the landmarks of each face beside its pixels (KPRPE), which no command hands to "
        "a network",
    ),
    Publisher(
        "CVLface ViT-iRPE",
        "",
        r"(.*\.)?attn\.rpe_[qkv]\..*",
        "",
        "mk-minchul/CVLface models/vit_irpe/vit.py",
        "its attention has relative positions (iRPE), which no backbone here has",
    ),
    Publisher(
        "IR-SE of CVLface and TFace",
        "",
        r"(.*\.)?body\.\d+\.res_layer\.(se_block|5\.fc1)\..*",
        "",
        "mk-minchul/CVLface models/iresnet/model.py",
        "its blocks weigh their channels (squeeze and excitation), which no backbone here does",
    ),
    Publisher(
        "MagFace",
        "iresnet18, iresnet34, iresnet50, iresnet100",
        r"(module\.)?features\.(module\.)?layer1\.0\.prelu\.weight",
        "bgr_zero_to_1",
        "IrvingMeng/MagFace models/iresnet.py, inference/gen_feat.py",
        prefix=r"(module\.)?features\.(module\.)?(?=conv1\.weight$)",
        eps=2e-5,
    ),
    Publisher(
        "AdaFace",
        "ir18, ir50, ir101",
        r"(.*\.)?model\.input_layer\.0\.weight",
        "bgr_minus1_to_1",
        "mk-minchul/AdaFace README.md, inference.py",
    ),
    Publisher(
        "CVLface IR",
        "ir18, ir50, ir101",
        r"(.*\.)?net\.input_layer\.0\.weight",
        USUAL,
        "mk-minchul/CVLface models/iresnet (where its config says color_space BGR, write "
        "FILE:bgr_minus1_to_1)",
    ),
    Publisher(
        "IR without a prefix",
        "ir18, ir50, ir101",
        r"input_layer\.0\.weight",
        "",
        "AdaFace's once its `model.` is taken off, TFace's, CVLface's",
    ),
    Publisher(
        "CVLface ViT",
        "vit-s8, vit-b8",
        r"(.*\.)?net\.patch_embed\.proj\.weight",
        USUAL,
        "mk-minchul/CVLface models/vit",
    ),
    Publisher(
        "arcface_torch ViT, LVFace",
        "vit-t, vit-s, vit-b, vit-l",
        r"(.*\.)?patch_embed\.proj\.weight",
        USUAL,
        "deepinsight/insightface arcface_torch/backbones/vit.py",
    ),
    Publisher(
        "arcface_torch mbf, mbf_large",
        "mobilefacenet-large, mobilefacenet-xlarge",
        r"(.*\.)?conv_sep\.layers\.0\.weight",
        USUAL,
        "deepinsight/insightface arcface_torch/backbones/mobilefacenet.py",
    ),
    Publisher(
        "arcface_torch IResNet, `backbone.pth` or `checkpoint_gpu_0.pt` of partial FC",
        "iresnet18, iresnet34, iresnet50, iresnet100, iresnet200",
        r"(.*\.)?layer1\.0\.prelu\.weight",
        USUAL,
        "deepinsight/insightface arcface_torch/backbones/iresnet.py",
    ),
    Publisher(
        "EdgeFace, float32 or int8",
        "edgeface-xxs, edgeface-xs, edgeface-xs-dense, edgeface-s",
        r"(.*\.)?stages\.0\.blocks\.0\.conv_dw\.weight",
        USUAL,
        "otroshi/edgeface",
    ),
)


def publisher_of(states: States) -> Publisher | None:
    """Tell whose checkpoint it is; None for one that is nobody's known."""
    keys = [key for state in states.values() for key in state]
    for publisher in PUBLISHERS:
        pattern = re.compile(publisher.key)
        if any(pattern.fullmatch(key) for key in keys):
            return publisher
    return None


def adopt(states: States, where: str, said: str | None = None) -> tuple[States, InputFormat]:
    """Bring somebody's checkpoint to what the kit's backbones hold.

    Args:
        states: from `weights_file.read_states`.
        where: the file, for complaints.
        said: the user's word on what its network takes, which counts before the publisher's.
    Returns:
        the tensors that may be a backbone's, and what a network with them takes.
    Raises:
        KitError: it cannot be loaded; or nobody says what it takes.
    """
    publisher = publisher_of(states)
    if publisher is None:
        return states, parse(said or USUAL)
    if publisher.refused:
        raise KitError(f"{where} is a checkpoint of {publisher.name}: {publisher.refused}")
    if not (said or publisher.normalisation):
        raise KitError(
            f"{where}: its keys do not tell whether its network takes RGB or BGR: write "
            f"{where}:bgr_minus1_to_1 (AdaFace) or {where}:minus1_to_1"
        )
    changed = {entry: _changed(state, publisher) for entry, state in states.items()}
    return changed, parse(said or publisher.normalisation)


def _changed(state: Mapping[str, Tensor], publisher: Publisher) -> Mapping[str, Tensor]:
    """Take a publisher's own head off and its epsilon into the variances; both sums under the root
    of a batch norm are then the same.
    """
    if publisher.prefix:
        found = [re.match(publisher.prefix, key) for key in state]
        start = next((match.group() for match in found if match), None)
        if start is not None:
            state = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    more = publisher.eps - OWN_EPS
    if not more:
        return state
    return {key: value + more if key.endswith(VARIANCE) else value for key, value in state.items()}


def to_markdown() -> str:
    """Lay the table out as a page."""
    loaded = [
        f"| {p.name} | {p.backbones} | {p.normalisation or 'to be said'} | {p.source} |"
        for p in PUBLISHERS
        if not p.refused
    ]
    others = [f"| {p.name} | {p.refused} |" for p in PUBLISHERS if p.refused]
    return "\n".join([*_HEAD, *loaded, *_MIDDLE, *others, ""])


_HEAD = (
    "# Checkpoints that load",
    "",
    "Written by `python kit.py models --checkpoints`; not by hand.",
    "",
    "A `.pth`, `.pt`, `.ckpt`, `.tar`, `.bin` or `.safetensors` file of these projects is a model "
    "wherever one is named: `evaluate`, `distill --teacher` and `--init`, `adapt`, `cluster`, "
    "`export-onnx` of a run that began with it. It is told by its keys, whatever stands before "
    "them (`module.`, `model.`, `state_dict`, ...); a classifier's head is left out.",
    "",
    "What its network takes for a pixel follows from whose it is, and `FILE:NORMALISATION` "
    "overrules that ([names](input_formats.md)).",
    "",
    "| project | our backbone | takes | read from |",
    "| --- | --- | --- | --- |",
)
_MIDDLE = (
    "",
    "## Checkpoints that do not",
    "",
    "| project | why |",
    "| --- | --- |",
)
