"""Workloads of a detector's operations on boxes: ours, and the same by torchvision."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops import boxes, roi

CASES = ("roi_align", "roi_align_gradient", "nms", "postprocess")
ANCHOR_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@dataclass(frozen=True)
class Sizes:
    """How much there is to do.

    Attributes:
        regions: regions of RoIAlign.
        channels: of the pyramid.
        image: side of the image in pixels.
        candidates: boxes of the suppression.
        anchors: of the post-processing.
        classes: of the post-processing, background among them.
        batch: images of the post-processing.

    >>> Sizes().regions
    1000
    """

    regions: int = 1000
    channels: int = 256
    image: int = 800
    candidates: int = 2000
    anchors: int = 8732
    classes: int = 91
    batch: int = 8


def random_boxes(random: np.random.Generator, shape: tuple[int, ...], image: int) -> np.ndarray:
    """Boxes of 2 to 40 % of the image's side, float32 (*shape, 4)."""
    corners = random.uniform(0, 0.8 * image, (*shape, 2))
    sides = random.uniform(0.02, 0.4, (*shape, 2)) * image
    return np.concatenate([corners, np.minimum(corners + sides, image)], -1).astype(np.float32)


def ours(sizes: Sizes, case: str, arrays: dict[str, Any]) -> Callable[[], Any]:
    """A compiled call of ours."""
    given = {name: jax.tree.map(jnp.asarray, value) for name, value in arrays.items()}
    if case.startswith("roi_align"):

        def pooled(maps, regions):
            levels = roi.assign_levels(regions, 4)
            return roi.roi_align(maps, regions, 7, strides=(4, 8, 16, 32), levels=levels)

        if case == "roi_align_gradient":
            run = jax.jit(jax.grad(lambda m, r: pooled(m, r).sum()))
        else:
            run = jax.jit(pooled)
        return lambda: run(given["maps"], given["regions"])
    if case == "nms":
        run = jax.jit(lambda b, s: boxes.nms(b, s, 0.7))
        return lambda: run(given["boxes"], given["scores"])

    def one(logits, deltas):
        scores = jax.nn.softmax(logits, -1)[:, 1:]
        decoded = boxes.decode(deltas, given["anchors"], weights=ANCHOR_WEIGHTS)
        decoded = boxes.clip(decoded, (sizes.image, sizes.image))
        return boxes.select_detections(
            decoded, scores, threshold=0.45, min_score=0.01, candidates=400, max_outputs=200
        )

    run = jax.jit(partial(boxes.each_image, one))
    return lambda: run(given["logits"], given["deltas"])


def theirs(sizes: Sizes, case: str, arrays: dict[str, Any]) -> Callable[[], Any]:
    """The same by torchvision."""
    import torch

    with contextlib.suppress(ImportError):  # a torchvision made for another build of torch
        import tvshim  # noqa: F401
    from torchvision import ops
    from torchvision.models.detection._utils import BoxCoder
    from torchvision.models.detection.ssd import SSD

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tensor = torch.from_numpy
    size = (sizes.image, sizes.image)
    if case.startswith("roi_align"):
        gradient = case == "roi_align_gradient"
        maps = {
            str(i): tensor(x).permute(0, 3, 1, 2).contiguous().requires_grad_(gradient)
            for i, x in enumerate(arrays["maps"])
        }
        pool = ops.MultiScaleRoIAlign(list(maps), 7, 2)
        regions = [tensor(arrays["regions"][0])]
        if gradient:
            return lambda: torch.autograd.grad(pool(maps, regions, [size]).sum(), [*maps.values()])
        return lambda: pool(maps, regions, [size])
    if case == "nms":
        return lambda: ops.nms(tensor(arrays["boxes"]), tensor(arrays["scores"]), 0.7)
    network = SSD.__new__(SSD)  # its post-processing alone
    torch.nn.Module.__init__(network)
    network.box_coder = BoxCoder(ANCHOR_WEIGHTS)
    network.score_thresh, network.topk_candidates = 0.01, 400
    network.nms_thresh, network.detections_per_img = 0.45, 200
    head = {"cls_logits": tensor(arrays["logits"]), "bbox_regression": tensor(arrays["deltas"])}
    anchors = [tensor(arrays["anchors"])] * sizes.batch
    return lambda: network.postprocess_detections(head, anchors, [size] * sizes.batch)


def make_arrays(sizes: Sizes, case: str) -> dict[str, Any]:
    """What a case works on, as NumPy arrays; its scores mostly favor the background."""
    random = np.random.default_rng(0)
    if case.startswith("roi_align"):
        sides = [sizes.image // stride for stride in (4, 8, 16, 32)]
        shapes = [(1, side, side, sizes.channels) for side in sides]
        maps = [random.standard_normal(shape, np.float32) for shape in shapes]
        return {"maps": maps, "regions": random_boxes(random, (1, sizes.regions), sizes.image)}
    if case == "nms":
        scores = random.uniform(size=sizes.candidates).astype(np.float32)
        return {"boxes": random_boxes(random, (sizes.candidates,), sizes.image), "scores": scores}
    shape = (sizes.batch, sizes.anchors)
    logits = random.standard_normal((*shape, sizes.classes)).astype(np.float32)
    logits[..., 0] += 8.0  # most anchors see background, as in a trained network
    deltas = random.standard_normal((*shape, 4)).astype(np.float32)
    return {
        "logits": logits,
        "deltas": deltas,
        "anchors": random_boxes(random, (sizes.anchors,), sizes.image),
    }
