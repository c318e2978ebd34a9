"""A student that comes with an embedding space of its own: the turn from it into the teacher's,
which its projector begins as, so that nothing is unlearnt to get there.
"""

import numpy as np
import torch
from torch import Tensor, nn

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.losses._batch import unit
from mfr_kit.models.preprocess import input_of_network, to_tensor
from mfr_kit.training.checkpoint import State
from mfr_kit.training.prepare import Relations

FACES, BATCH = 1024, 64


def align(state: State, relations: Relations, faces: FaceSet) -> None:
    """Set the projector of a run at its start; one that goes on, and a student without a space of
    its own, stay as they are.

    Args:
        state: whose student is somebody's trained graph.
        relations: with the teacher's bank.
        faces: to train on; some of them, evenly over the set, are embedded.
    """
    has_space = bool(getattr(state.student, "graph", b""))
    if state.step or not has_space or relations.bank is None:
        return
    if not isinstance(state.projector, nn.Linear):
        return
    rows = np.unique(np.linspace(0, len(faces) - 1, FACES).astype(np.int64))
    device = state.projector.weight.device
    form, network = input_of_network(state.student), state.student.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            images = np.stack([faces.image(int(row)) for row in rows[start : start + BATCH]])
            pixels = to_tensor(torch.from_numpy(images).to(device), form)
            found.append(network(pixels).float())
    turn = turn_between(torch.cat(found), relations.bank.fetch(device, rows)())
    with torch.no_grad():
        state.projector.weight.copy_(turn)


def turn_between(student: Tensor, teacher: Tensor) -> Tensor:
    """Find the turn that brings a student's embeddings nearest to its teacher's.

    Args:
        student: (N, S) embeddings, any norm.
        teacher: (N, T) embeddings of the same faces, any norm.
    Returns:
        (T, S) float32 with orthonormal rows, or columns where S < T: cosines stay what they are.
    Source: Schönemann, *A generalized solution of the orthogonal Procrustes problem* (1966).
    """
    product = unit(teacher).double().T.cpu() @ unit(student).double().cpu()
    left, _, right = torch.linalg.svd(product, full_matrices=False)
    return (left @ right).float().to(student.device)
