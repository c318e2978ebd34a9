"""A training loop of one's own with the kit's parts: CoupleFace's loss, the teacher's bank, the
masks. `kit.py distill` does the same with everything that a long run needs.

    python examples/train_your_own.py [FACES [TEACHER [EPOCHS]]]

FACES is a face set (default: runs/heads; heads are drawn where nothing is yet), TEACHER what
`mk.load_embedder` takes (default: sface).
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import mfr_kit as mk
from mfr_kit.models.backbones.mobilefacenet import MobileFaceNet
from mfr_kit.training.teacher import bank, mining


class MaskedViews(Dataset):
    """What the student sees: half of the faces under a mask."""

    def __init__(self, faces):
        self.faces = faces

    def __len__(self):
        return len(self.faces)

    def __getitem__(self, row):
        image, _ = self.faces[row]
        if torch.rand(()) < 0.5:
            seed = int(torch.randint(1 << 31, ()))
            image = mk.put_mask(image, seed, landmarks=self.faces.points(row))
        return image, row


def train(folder, teacher="sface", epochs=3):
    """Distil a teacher into a small student; returns the student."""
    # The teacher sees clean faces only, once; the bank keeps what it said on the disk.
    faces = mk.FaceSet(folder).clean()
    labels = torch.from_numpy(faces.labels)
    embedder = mk.load_embedder(teacher)
    targets = bank.fill(Path(folder) / "bank", faces, embedder, progress=False)

    # Partners: for each identity the identities that the teacher finds hard to tell from it.
    prototypes = mining.prototypes(targets, faces.labels)
    hard = mining.nearest(prototypes, count=4).long()

    student = MobileFaceNet(embedder.embedding_size, width=0.25)
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3)
    loader = DataLoader(MaskedViews(faces), batch_size=8, shuffle=True, drop_last=True)
    for epoch in range(epochs):
        total = 0.0
        for images, rows in loader:
            embeddings = student(mk.to_tensor(images))
            wanted = torch.from_numpy(targets.rows(rows.numpy()))
            partners = prototypes[hard[labels[rows]]]
            consistency = mk.losses.feature_consistency_loss(embeddings, wanted)
            relations = mk.losses.relation_aware_loss(embeddings, wanted, partners)
            loss = consistency + 0.5 * relations
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() / len(loader)
        print(f"epoch {epoch}: loss {total:.3f}")
    return student


if __name__ == "__main__":
    place, *others = sys.argv[1:] or ["runs/heads"]
    if not Path(place).exists():
        mk.draw_face_set(place)
    trained = train(place, *others[:1], *map(int, others[1:]))
    print("wrote", mk.export_onnx(trained, Path(place) / "student.onnx").path)
