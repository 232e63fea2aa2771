"""Writes distillation.npz: losses of distillation in float64, with gradients, by PyTorch.

Needs torch, which the tests do not: ``python tests/golden/make_distillation.py``. Last run with
torch 2.13.0 (CPU), numpy 2.4.

For each case NAME the file holds ``NAME/student`` and ``NAME/teacher``, channels last,
``NAME/loss``, and ``NAME/gradient`` by the student. The losses are put together from torch's own
functions: kl_div, smooth_l1_loss, cosine_similarity, normalize, cross_entropy.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

random = np.random.default_rng(2026)


def soft_target(temperature):
    def loss(student, teacher):
        log_q = F.log_softmax(student / temperature, -1)
        p = F.softmax(teacher / temperature, -1)
        return temperature**2 * F.kl_div(log_q, p, reduction="batchmean")

    return loss


def distance(student, teacher):
    n = len(student)
    rows, columns = torch.triu_indices(n, n, 1)

    def relative(x):
        lengths = F.pairwise_distance(x[rows], x[columns], eps=0.0)
        return lengths / lengths.mean()

    return F.smooth_l1_loss(relative(student), relative(teacher))


def angle(student, teacher):
    n = len(student)
    triples = [(i, j, k) for i in range(n) for j in range(n) for k in range(n)]
    i, j, k = map(list, zip(*(t for t in triples if len(set(t)) == 3), strict=True))

    def cosines(x):
        return F.cosine_similarity(x[i] - x[j], x[k] - x[j], dim=-1)

    return F.smooth_l1_loss(cosines(student), cosines(teacher))


def attention(student, teacher):
    def maps(x):
        return F.normalize(x.pow(2).sum(-1).flatten(1))

    return (maps(student) - maps(teacher)).pow(2).sum(1).mean()


def contrast(student, teacher):
    scores = F.normalize(student) @ F.normalize(teacher).T / 0.1
    return F.cross_entropy(scores, torch.arange(len(student)))


CASES = {
    "soft_target_1": (soft_target(1.0), (5, 7), (5, 7)),
    "soft_target_4": (soft_target(4.0), (5, 7), (5, 7)),
    "soft_target_20": (soft_target(20.0), (5, 7), (5, 7)),
    "distance": (distance, (5, 4), (5, 6)),
    "angle": (angle, (5, 4), (5, 6)),
    "attention": (attention, (3, 2, 4, 3), (3, 2, 4, 5)),
    "contrast": (contrast, (4, 6), (4, 6)),
}

if __name__ == "__main__":
    arrays = {}
    for name, (loss, *shapes) in CASES.items():
        student, teacher = (torch.tensor(2 * random.standard_normal(shape)) for shape in shapes)
        student.requires_grad_()
        value = loss(student, teacher)
        value.backward()
        arrays |= {
            f"{name}/student": student.detach().numpy(),
            f"{name}/teacher": teacher.numpy(),
            f"{name}/loss": value.detach().numpy(),
            f"{name}/gradient": student.grad.numpy(),
        }
    np.savez_compressed(Path(__file__).with_name("distillation.npz"), **arrays)
