"""What methods remember of earlier batches, as modules that are kept in a checkpoint: centres,
memories of each identity, a queue, running thresholds.

In training each takes up a batch after it was looked at; in evaluation they stay. With several
ranks the methods that have one see the samples of all ranks, so every rank remembers the same.
"""

import torch
from torch import Tensor, nn

from mfr_kit.losses._batch import unit


class DistilledCentres(nn.Module):
    """Class centres that follow the teacher's embeddings, the slower the better the student does.

    Args:
        classes: identities C.
        size: embedding size D.
    Source: AdaDistill (arXiv 2407.01332), equations 6 to 8.
    """

    centres: Tensor

    def __init__(self, classes: int, size: int):
        super().__init__()
        self.register_buffer("centres", torch.randn(classes, size) * 0.01)

    @torch.no_grad()
    def follow(self, student: Tensor, teacher: Tensor, labels: Tensor) -> None:
        """Move the centres of a batch towards its (B, D) teacher embeddings; of samples of one
        identity the mean of their moves.
        """
        target = unit(teacher).to(self.centres.dtype)
        before = self.centres[labels]
        near = (unit(student).to(target.dtype) * target).sum(dim=1)
        known = (unit(before) * target).sum(dim=1).clamp(1e-6, 1)
        kept = (near * known).clamp(1e-6, 1)[:, None]
        moved = kept * before + (1 - kept) * target
        sums = torch.zeros_like(self.centres).index_add_(0, labels, moved)
        counts = torch.bincount(labels, minlength=len(sums))[:, None]
        self.centres.copy_(torch.where(counts > 0, sums / counts.clamp_min(1), self.centres))


class Contrast(nn.Module):
    """Two small projections and a memory of each side's for every identity.

    Args:
        classes: identities C.
        size: embedding size D.
        width: size of the projections.
        negatives: other identities that a sample is contrasted with, at most.
        temperature: of the exponentials.
        momentum: share of a memory that a new sample leaves.
    Source: CRD (arXiv 1910.10699); the authors' code keeps a memory of each image.
    """

    memory: Tensor
    norms: Tensor
    steps: Tensor

    def __init__(
        self,
        classes: int,
        size: int,
        *,
        width: int = 128,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ):
        super().__init__()
        self.student, self.teacher = nn.Linear(size, width), nn.Linear(size, width)
        self.negatives, self.temperature, self.momentum = negatives, temperature, momentum
        spread = (3 / width) ** 0.5
        self.register_buffer("memory", (torch.rand(2, classes, width) * 2 - 1) * spread)
        # what the exponentials are divided by, from the first batch; below zero: not yet
        self.register_buffer("norms", torch.full((2,), -1.0))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """(B, D) embeddings of both sides and (B,) labels -> scalar."""
        sides = unit(self.student(student)), unit(self.teacher(teacher))
        chosen = self._choose(labels)
        total = student.new_zeros(())
        for number, side in enumerate(sides):  # each against the other side's memory
            scores = (side @ self.memory[1 - number].T).gather(1, chosen) / self.temperature
            total = total + self._estimate(scores.exp(), number)
        if self.training:
            self._remember(sides, labels)
        return total

    def _choose(self, labels: Tensor) -> Tensor:
        """(B, 1 + n) identities: a sample's own, then others."""
        classes = self.memory.shape[1]
        count = min(self.negatives, classes - 1)
        if count == classes - 1:
            others = torch.arange(count, device=labels.device).expand(len(labels), count)
        else:
            draw = torch.Generator().manual_seed(int(self.steps))
            others = torch.randint(classes - 1, (len(labels), count), generator=draw)
            others = others.to(labels.device)
        return torch.cat([labels[:, None], others + (others >= labels[:, None])], dim=1)

    def _estimate(self, scores: Tensor, number: int) -> Tensor:
        """Noise-contrastive estimate of (B, 1 + n) exponentials, the own identity's first."""
        classes, count = self.memory.shape[1], scores.shape[1] - 1
        norm = self.norms[number]
        if norm < 0:
            norm = scores.detach().mean() * classes
            if self.training:
                self.norms[number] = norm
        likely, noise = scores / norm, count / classes
        own = likely[:, 0] / (likely[:, 0] + noise + 1e-7)
        others = noise / (likely[:, 1:] + noise + 1e-7)
        return -(own.log().sum() + others.log().sum()) / len(scores)

    @torch.no_grad()
    def _remember(self, sides: tuple[Tensor, Tensor], labels: Tensor) -> None:
        self.steps += 1
        counts = torch.bincount(labels, minlength=self.memory.shape[1])[:, None]
        moved = []
        for memory, side in zip(self.memory, sides, strict=True):
            sums = torch.zeros_like(memory).index_add_(0, labels, side.to(memory.dtype))
            mixed = self.momentum * memory + (1 - self.momentum) * sums / counts.clamp_min(1)
            moved.append(torch.where(counts > 0, unit(mixed), memory))
        self.memory = torch.stack(moved)  # not in place: the gradient still needs the old one


class Banks(nn.Module):
    """The last few embeddings of every identity, of both sides.

    Args:
        classes: identities C.
        size: embedding size D.
        length: embeddings M of each identity.
    """

    rows: Tensor
    seen: Tensor

    def __init__(self, classes: int, size: int, length: int):
        super().__init__()
        self.register_buffer("rows", torch.zeros(2, classes, length, size))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.int64))

    def similarities(self, side: Tensor, labels: Tensor, number: int) -> Tensor:
        """(B, D) embeddings of a side (0 student, 1 teacher) -> (P,) cosines to what is in the
        banks of their identities.
        """
        length = self.rows.shape[2]
        held = self.seen[labels].clamp_max(length)
        there = torch.arange(length, device=labels.device) < held[:, None]
        cosines = torch.einsum("bd,bmd->bm", unit(side), self.rows[number, labels].to(side.dtype))
        return cosines[there]

    @torch.no_grad()
    def remember(self, student: Tensor, teacher: Tensor, labels: Tensor) -> None:
        """Put a batch in, over what is oldest."""
        length = self.rows.shape[2]
        order = labels.argsort(stable=True)
        sorted_labels = labels[order]
        counts = torch.bincount(labels, minlength=len(self.seen))
        starts = counts.cumsum(0) - counts
        nth = torch.arange(len(labels), device=labels.device) - starts[sorted_labels]
        kept = nth >= counts[sorted_labels] - length  # of many of one identity the last
        order, people, nth = order[kept], sorted_labels[kept], nth[kept]
        places = (self.seen[people] + nth) % length
        for number, side in enumerate((student, teacher)):
            self.rows[number, people, places] = unit(side[order]).to(self.rows.dtype)
        self.seen += counts


class Queue(nn.Module):
    """The last M samples, of both sides.

    Args:
        size: embedding size D.
        length: M.
    """

    rows: Tensor
    labels: Tensor
    place: Tensor

    def __init__(self, size: int, length: int):
        super().__init__()
        self.register_buffer("rows", torch.zeros(2, length, size))
        self.register_buffer("labels", torch.full((length,), -1))  # -1: nobody yet
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def remember(self, student: Tensor, teacher: Tensor, labels: Tensor) -> None:
        """Put a batch in, over what is oldest."""
        length = len(self.labels)
        student, teacher, labels = student[-length:], teacher[-length:], labels[-length:]
        places = (self.place + torch.arange(len(labels), device=labels.device)) % length
        for number, side in enumerate((student, teacher)):
            self.rows[number, places] = unit(side).to(self.rows.dtype)
        self.labels[places] = labels
        self.place.copy_((self.place + len(labels)) % length)


class Thresholds(nn.Module):
    """Running similarity thresholds of both sides at a few false positive rates.

    Args:
        count: rates.
        momentum: share that a new batch's have.
    """

    values: Tensor
    batches: Tensor

    def __init__(self, count: int, momentum: float = 0.01):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("values", torch.zeros(2, count))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def follow(self, found: Tensor) -> Tensor:
        """(2, count) thresholds of a batch -> the running ones, moved in training; the first batch
        sets them.
        """
        if not self.training and self.batches:
            return self.values.to(found.dtype)
        found = found.detach()
        values = torch.where(
            self.batches > 0, self.values.to(found.dtype).lerp(found, self.momentum), found
        )
        if self.training:
            self.values.copy_(values)
            self.batches += 1
        return values
