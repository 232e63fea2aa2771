"""Values for the tensors of a PyTorch state dict from their names, the same in every framework."""

import zlib

import numpy as np


def value(name, shape):
    """float32 of a shape: He-scaled kernels, statistics and scales around 1, small offsets."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    draw = rng.random_sample(int(np.prod(shape))).reshape(shape)
    if name.endswith("scale_weight"):
        made = 15 + 10 * draw
    elif name.endswith(("bias", "running_mean")):
        made = 0.3 * (draw - 0.5)
    elif len(shape) == 1:
        made = 0.5 + draw
    else:
        made = (draw - 0.5) * np.sqrt(12 * 2 / np.prod(shape[1:]))
    # RetinaNet's last layers see what fifty layers without training have blown up.
    blown = {("classification_head.cls_logits", 819): 1e-4, ("regression_head.bbox_reg", 36): 2e-5}
    made = made * blown.get((name.removeprefix("head.").removesuffix(".weight"), shape[0]), 1)
    return made.astype(np.float32)


def images(batch, height, width):
    """float32 (batch, height, width, 3) of unit variance."""
    return np.random.RandomState(4).standard_normal((batch, height, width, 3)).astype(np.float32)


def objects(batch, count, size, classes):
    """Boxes (batch, count, 4) in order of their corners, and labels from 0 (batch, count)."""
    rng = np.random.RandomState(5)
    corner = rng.uniform(0, 0.6 * size, (batch, count, 2))
    side = rng.uniform(0.1 * size, 0.4 * size, (batch, count, 2))
    boxes = np.concatenate([corner, corner + side], -1).astype(np.float32)
    boxes = np.stack([each[np.lexsort(each.T[::-1])] for each in boxes])
    return boxes, rng.randint(0, classes, (batch, count)).astype(np.int32)
