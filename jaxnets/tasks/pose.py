"""Pose estimation: where the joints of one person are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.metrics import keypoint_hits, torso_size
from jaxnets.ops.activations import identity
from jaxnets.train.task import Sums, Task


def pose(
    joint_names: Sequence[str],
    *,
    torso: tuple[int, int],
    threshold: float = 0.2,
    spread: float = 1.0,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> Task:
    """The task of finding joints, on batches of ``image`` and ``keypoints (B, 1, J, 3)``.

    Training minimizes the mean over the visible joints of 50 · ‖p − q‖² over all stages, p and q
    as shares of the image's sides; with heat maps also the cross entropy between a normal
    distribution around the joint and the map.

    Args:
        joint_names: J of them.
        torso: two joints, whose distance is the size of the body.
        threshold: of PCK.
        spread: σ of the normal distribution, in positions of the heat map.
        preprocess: images as stored → images as the network wants them.

    Returns:
        A `jaxnets.train.Task`. Evaluation gives ``loss``, ``PCK``, ``PCK/name`` of each joint and,
        of networks with several stages, ``PCK of stage n``.

    Source: Toshev, Szegedy, "DeepPose", 2014, section 3.1; Tompson et al., "Joint Training of a
    Convolutional Network and a Graphical Model for Human Pose Estimation", 2014, section 3.1.

    >>> task = pose(["hip", "shoulder"], torso=(0, 1))
    >>> image = jnp.zeros((1, 8, 8, 3))
    >>> keypoints = jnp.array([[[[2.0, 2.0, 1.0], [6.0, 6.0, 1.0]]]])
    >>> batch = {"image": image, "keypoints": keypoints, "example_mask": jnp.ones(1)}
    >>> found = {"points": jnp.array([[[[0.25, 0.25], [0.75, 0.25]]]])}
    >>> task.summarize(jax.tree.map(np.asarray, task.measure(found, batch)))["PCK"]
    0.5
    """
    names = tuple(joint_names)

    def truth(batch: Mapping[str, Any]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """(B, J, 2) as shares, (B, J) visible inside the image, (B, J, 3) in pixels."""
        points = jnp.asarray(batch["keypoints"])[:, 0].astype(jnp.float32)
        sides = jnp.array(batch["image"].shape[2:0:-1], jnp.float32)
        shares = points[..., :2] / sides
        visible = (points[..., 2] > 0) & ((shares >= 0) & (shares <= 1)).all(-1)
        return jnp.where(visible[..., None], shares, 0.5), visible, points

    def per_example(outputs, batch):
        """Loss of each example, and how many joints of it count."""
        shares, visible, _ = truth(batch)
        squares = 0.5 * ((outputs["points"] - shares[:, None]) ** 2).sum(-1)  # (B, S, J)
        values = 100 * squares.sum(1)
        if "heat" in outputs:
            values = values + _heat_loss(outputs["heat"], shares, spread)
        return jnp.where(visible, values, 0).sum(-1), visible.sum(-1)

    def loss(outputs, updates, batch):
        values, counts = per_example(outputs, batch)
        shares, visible, _ = truth(batch)
        apart = jnp.sqrt(((outputs["points"][:, -1] - shares) ** 2).sum(-1))
        total = jnp.maximum(visible.sum(), 1)
        distance = jnp.where(visible, apart, 0).sum() / total
        return values.sum() / jnp.maximum(counts.sum(), 1), {"distance": distance}

    def measure(outputs, batch) -> Sums:
        there = jnp.asarray(batch["example_mask"]) != 0
        values, counts = per_example(outputs, batch)
        sides = jnp.array(batch["image"].shape[2:0:-1], jnp.float32)
        points = truth(batch)[2]
        size = torso_size(points, *torso)
        found = {"loss": (jnp.where(there, values, 0).sum(), jnp.where(there, counts, 0).sum())}
        for stage in range(outputs["points"].shape[1]):
            pixels = outputs["points"][:, stage] * sides
            right, counted = keypoint_hits(pixels, points, size, threshold=threshold)
            right, counted = right & there[:, None], counted & there[:, None]
            found[f"stage{stage + 1}"] = (right.sum(), counted.sum())
        found["joints"] = (right.sum(0), counted.sum(0))
        return found

    def summarize(sums: Sums) -> dict[str, float]:
        def share(key):
            hits, count = (np.asarray(part, np.float64) for part in sums[key])
            return hits / np.maximum(count, 1)

        stages = sorted(key for key in sums if key.startswith("stage"))
        summary = {"loss": float(share("loss")), "PCK": float(share(stages[-1]))}
        if len(stages) > 1:
            summary |= {f"PCK of stage {key[5:]}": float(share(key)) for key in stages}
        each = zip(names, share("joints").tolist(), strict=True)
        return summary | {f"PCK/{name}": value for name, value in each}

    return Task(
        inputs=lambda batch: {"x": preprocess(batch["image"])},
        loss=loss,
        measure=measure,
        summarize=summarize,
        weight=None,
        meta=(("joint_names", list(names)), ("torso", list(torso))),
    )


def staged_pose(*args: Any, **options: Any) -> Task:
    """`pose` for networks whose later stages are trained around the true joints, as `DeepPose`.

    Args:
        *args: of `pose`.
        **options: of `pose`.

    Returns:
        The task; the network is also called with ``centers``.

    >>> task = staged_pose(["hip", "shoulder"], torso=(0, 1))
    >>> batch = {"image": jnp.zeros((1, 8, 8, 3)), "keypoints": jnp.ones((1, 1, 2, 3))}
    >>> task.inputs(batch)["centers"].shape
    (1, 2, 2)
    """
    task = pose(*args, **options)

    def inputs(batch):
        sides = jnp.array(batch["image"].shape[2:0:-1], jnp.float32)
        points = jnp.asarray(batch["keypoints"])[:, 0].astype(jnp.float32)
        return task.inputs(batch) | {"centers": points[..., :2] / sides}

    return task._replace(inputs=inputs)


def _heat_loss(heat: jax.Array, shares: jax.Array, spread: float) -> jax.Array:
    """(B, J): cross entropy between a normal distribution around each joint and its map."""
    height, width = heat.shape[1:3]
    down = (jnp.arange(height) + 0.5)[:, None] - shares[:, None, :, 1] * height  # (B, h, J)
    across = (jnp.arange(width) + 0.5)[:, None] - shares[:, None, :, 0] * width
    rows = jax.nn.softmax(-0.5 * (down / spread) ** 2, axis=1)
    columns = jax.nn.softmax(-0.5 * (across / spread) ** 2, axis=1)
    logs = jax.nn.log_softmax(heat.reshape(len(heat), -1, heat.shape[-1]), axis=1)
    return -jnp.einsum("bhj,bwj,bhwj->bj", rows, columns, logs.reshape(heat.shape))
