"""Make region_proposals.npz: the regions and losses of torchvision's region proposal network.

    python tests/golden/make_region_proposals.py

Ran with torch 2.13.0 and torchvision 0.28.0 on a CPU, in float64. The head's outputs are random
numbers, `outputs` below, which the test makes again; stored are the regions with their scores, the
anchors that were sampled, and the two losses.
"""

from pathlib import Path

import numpy as np

SIDE, GRIDS, OBJECTS = 64, (8, 4), 3


def outputs(seed=0):
    """Of each map (2, P) logits and (2, P, 4) offsets, P being row, column, anchor."""
    rng = np.random.RandomState(seed)
    counts = [3 * n * n for n in GRIDS]
    logits = [rng.standard_normal((2, n)) for n in counts]
    return logits, [0.3 * rng.standard_normal((2, n, 4)) for n in counts]


def objects(seed=1):
    """Boxes (2, 3, 4) in the order of their corners."""
    rng = np.random.RandomState(seed)
    corner = rng.uniform(0, 36, (2, OBJECTS, 2))
    found = np.concatenate([corner, corner + rng.uniform(10, 28, corner.shape)], -1)
    return np.stack([each[np.lexsort(each.T[::-1])] for each in found]).astype(np.float32)


def main():
    import torch
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList
    from torchvision.models.detection.rpn import RegionProposalNetwork

    logits, deltas = outputs()
    shaped = [
        [
            torch.from_numpy(a.reshape(2, n, n, -1).transpose(0, 3, 1, 2).copy())
            for a, n in zip(parts, GRIDS, strict=True)
        ]
        for parts in (logits, deltas)
    ]

    class Head(torch.nn.Module):
        def forward(self, features):
            return shaped

    generator = AnchorGenerator(((16,), (32,)), ((0.5, 1.0, 2.0),) * 2)
    most = {"training": 100, "testing": 100}
    rpn = RegionProposalNetwork(generator, Head(), 0.7, 0.3, 64, 0.5, most, most, 0.7)
    drawn, sampler = [], rpn.fg_bg_sampler

    def recorded(labels):
        found = sampler(labels)
        drawn.extend(torch.where(a | b)[0].numpy() for a, b in zip(*found, strict=True))
        return found

    rpn.fg_bg_sampler = recorded
    torch.manual_seed(0)
    images = ImageList(torch.zeros(2, 3, SIDE, SIDE).double(), [(SIDE, SIDE)] * 2)
    features = {str(n): torch.zeros(2, 1, n, n).double() for n in GRIDS}
    targets = [{"boxes": torch.from_numpy(b).double()} for b in objects()]
    kept, filtered = {}, rpn.filter_proposals

    def remembered(*arguments):
        kept["boxes"], kept["scores"] = filtered(*arguments)
        return kept["boxes"], kept["scores"]

    rpn.filter_proposals = remembered
    _, losses = rpn.train()(images, features, targets)
    arrays = {name: value.numpy() for name, value in losses.items()}
    for i in range(2):
        arrays[f"boxes{i}"] = kept["boxes"][i].numpy().astype(np.float32)
        arrays[f"scores{i}"] = kept["scores"][i].numpy().astype(np.float32)
        arrays[f"sampled{i}"] = drawn[i].astype(np.int32)
    np.savez_compressed(Path(__file__).with_name("region_proposals.npz"), **arrays)
    print({name: (value.shape, value.dtype) for name, value in arrays.items()})


if __name__ == "__main__":
    main()
