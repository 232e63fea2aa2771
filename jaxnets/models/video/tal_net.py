"""TAL-Net: Faster R-CNN along time, which finds where in a video each action begins and ends.

Source: Chao et al., "Rethinking the Faster R-CNN Architecture for Temporal Action Localization",
2018.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.nn import Conv, Dense, Dropout
from jaxnets.ops import boxes, max_pool, relu
from jaxnets.ops.segments import pool_segments, segments_to_boxes


def anchor_segments(length: int, scales: Sequence[int]) -> jax.Array:
    """One segment of each scale around the center of each step.

    Args:
        length: T, steps.
        scales: K lengths, in steps.

    Returns:
        (T · K, 2), step by step.

    >>> anchor_segments(2, (1, 4)).tolist()
    [[0.0, 1.0], [-1.5, 2.5], [1.0, 2.0], [-0.5, 3.5]]
    """
    center = jnp.arange(length)[:, None] + 0.5
    half = jnp.asarray(scales, jnp.float32)[None] / 2
    return jnp.stack((center - half, center + half), -1).reshape(-1, 2)


def decode_segments(deltas: jax.Array, segments: jax.Array, length: int) -> jax.Array:
    """Segments moved and stretched by (shift / length, log of the stretch), cut at both ends.

    >>> decode_segments(jnp.array([[0.5, 0.0]]), jnp.array([[2.0, 6.0]]), 7).tolist()
    [[4.0, 7.0]]
    """
    shift, stretch = deltas[..., 0], deltas[..., 1]
    none = jnp.zeros_like(shift)
    four = jnp.stack((shift, none, stretch, none), -1)
    return jnp.clip(boxes.decode(four, segments_to_boxes(segments))[..., ::2], 0, length)


def encode_segments(segments: jax.Array, anchors: jax.Array) -> jax.Array:
    """The inverse of `decode_segments`, where nothing is cut.

    >>> encode_segments(jnp.array([[4.0, 8.0]]), jnp.array([[2.0, 6.0]])).tolist()
    [[0.5, 0.0]]
    """
    return boxes.encode(segments_to_boxes(segments), segments_to_boxes(anchors))[..., ::2]


class SegmentTower(nn.Module):
    """Two dilated convolutions that see as much of the sequence as the anchor is long.

    With r = max(1, round(s / 6)), doubled with context, the dilations are r and 2 r: kernels of
    three see 1 + 6 r steps, s + 1 of a scale that 6 divides, 2 s + 1 with context. A maximum over r
    steps before them leaves none between the kernels' places out.

    Attributes:
        scale: s, the anchor's length in steps.
        features: channels.
        context: see twice as much.
        pool: the maximum before.
        dtype: compute dtype.

    Call: (N, T, C) → (N, T, features).

    >>> tower = SegmentTower(12, 4, context=False, pool=False)
    >>> jax.eval_shape(lambda x: tower.init_with_output(jax.random.key(0), x)[0],
    ...                jnp.zeros((1, 30, 3))).shape
    (1, 30, 4)
    """

    scale: int
    features: int
    context: bool = True
    pool: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        rate = max(1, round(self.scale / 6)) * (2 if self.context else 1)
        if self.pool and rate > 1:
            x = max_pool(x, rate, strides=1, padding=((rate // 2, (rate - 1) // 2),))
        for name, dilation in (("conv1", rate), ("conv2", 2 * rate)):
            conv = Conv(
                self.features,
                (3,),
                padding=((dilation, dilation),),
                dilation=dilation,
                dtype=self.dtype,
                name=name,
            )
            x = relu(conv(x))
        return x


class Localized(NamedTuple):
    """What `TALNet` says, of R proposals.

    Attributes:
        anchors: (A, 2), of all steps and scales.
        objectness: (N, A), logits.
        deltas: (N, A, 2), of the anchors.
        proposals: (N, R, 2), in steps.
        proposal_mask: (N, R), false for padding.
        logits: (N, R, K + 1), 0 for background.
        refinements: (N, R, K, 2), of the proposals, for each class.

    >>> Localized._fields[-2:]
    ('logits', 'refinements')
    """

    anchors: jax.Array
    objectness: jax.Array
    deltas: jax.Array
    proposals: jax.Array
    proposal_mask: jax.Array
    logits: jax.Array
    refinements: jax.Array


class TALNet(nn.Module):
    """Proposals by one tower for each anchor's length, then a class and finer ends for each.

    Each stream (RGB features, flow features) has networks of its own; the averages of their
    objectness and offsets choose the proposals, the averages of their logits and refinements are
    the result (late fusion, section 3.3).

    Attributes:
        num_classes: K, without background; None returns the endpoints, each stream's features of
            the towers.
        streams: channels of each stream, one behind the other in the input's last axis.
        scales: anchors' lengths, in steps of the features. Those that 6 divides have a tower that
            sees exactly what the anchor spans; the paper's, which are the default, are short ones:
            all below 9 have the smallest tower, of 7 steps, 13 with context.
        features: channels of the towers.
        hidden: units of the two layers that classify.
        context: towers that see twice their anchor, and proposals pooled with half their length
            more on either side (section 3.2).
        pooled: parts of a proposal.
        proposals: R, at most.
        candidates: anchors that enter the suppression.
        nms_threshold: temporal IoU above which the weaker proposal goes.
        dropout_rate: between the layers that classify.
        dtype: compute dtype.

    Call: (N, T, sum of streams) → `Localized`, float32. ``segments`` (N, M, 2) with
    ``segment_mask`` join the proposals, as in training. Needs the rng "dropout" in training.

    >>> network = TALNet(3, streams=(8, 8), scales=(6, 12), features=4, hidden=8, proposals=5)
    >>> x = jax.ShapeDtypeStruct((2, 24, 16), jnp.float32)
    >>> found = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x)
    >>> found.objectness.shape, found.logits.shape, found.refinements.shape
    ((2, 48), (2, 5, 4), (2, 5, 3, 2))
    """

    num_classes: int | None = 20
    streams: Sequence[int] = (1024, 1024)
    scales: Sequence[int] = (1, 2, 3, 4, 5, 6, 8, 11, 16)
    features: int = 256
    hidden: int = 1024
    context: bool = True
    pooled: int = 7
    proposals: int = 300
    candidates: int = 2000
    nms_threshold: float = 0.7
    dropout_rate: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        *,
        segments: jax.Array | None = None,
        segment_mask: jax.Array | None = None,
        train: bool = False,
    ):
        if x.ndim != 3 or x.shape[-1] != sum(self.streams) or x.shape[1] < 1:
            raise ValueError(
                f"TALNet: expected features (N, T, {sum(self.streams)}), streams "
                f"{tuple(self.streams)} side by side, got shape {x.shape}"
            )
        ends = [sum(self.streams[: i + 1]) for i in range(len(self.streams) - 1)]
        parts = jnp.split(x, ends, axis=-1)
        towers = [self._towers(part, f"stream{i}") for i, part in enumerate(parts)]
        if self.num_classes is None:
            return {f"stream{i}": tower for i, tower in enumerate(towers)}
        anchors = anchor_segments(x.shape[1], self.scales)
        said = [self._propose(tower, f"stream{i}") for i, tower in enumerate(towers)]
        said = jnp.mean(jnp.stack(said), 0).astype(jnp.float32).reshape(x.shape[0], -1, 3)
        objectness, deltas = said[..., 0], said[..., 1:]
        found = lax.stop_gradient((objectness, deltas))
        proposals, mask = self._choose(anchors, found[0], found[1], x)
        if segments is not None:
            proposals = jnp.concatenate((proposals, segments.astype(proposals.dtype)), 1)
            real = jnp.ones(segments.shape[:2]) if segment_mask is None else segment_mask
            mask = jnp.concatenate((mask, real.astype(bool)), 1)
        verdicts = [
            self._classify(part, proposals, f"stream{i}", train) for i, part in enumerate(parts)
        ]
        verdict = jnp.mean(jnp.stack(verdicts), 0).astype(jnp.float32)
        logits, refinements = jnp.split(verdict, (self.num_classes + 1,), axis=-1)
        refinements = refinements.reshape(*refinements.shape[:2], -1, 2)
        return Localized(anchors, objectness, deltas, proposals, mask, logits, refinements)

    def _towers(self, x, stream):
        towers = [
            SegmentTower(
                s, self.features, self.context, dtype=self.dtype, name=f"{stream}_tower{i}"
            )
            for i, s in enumerate(self.scales)
        ]
        return jnp.stack([tower(x) for tower in towers], 2)  # (N, T, K, F)

    def _propose(self, towers, stream):
        """(N, T, K, 3): objectness, shift and stretch."""
        heads = [
            Dense(3, dtype=self.dtype, name=f"{stream}_propose{i}") for i in range(towers.shape[2])
        ]
        return jnp.stack([head(towers[:, :, i]) for i, head in enumerate(heads)], 2)

    def _choose(self, anchors, objectness, deltas, x):
        decoded = decode_segments(deltas, jnp.broadcast_to(anchors, deltas.shape), x.shape[1])
        count = min(self.candidates, objectness.shape[1])

        def choose(segments, scores):
            best, index = lax.top_k(scores, count)
            segments = segments[index]
            long = segments[:, 1] - segments[:, 0] > 1e-3
            limit = min(self.proposals, count)
            kept = boxes.nms(
                segments_to_boxes(segments),
                best,
                self.nms_threshold,
                mask=long,
                max_outputs=limit,
            )
            return jnp.where(kept.mask[:, None], segments[kept.index], 0), kept.mask

        return jax.vmap(choose)(decoded, objectness)

    def _classify(self, x, proposals, stream, train):
        if self.context:
            half = (proposals[..., 1:] - proposals[..., :1]) / 2
            proposals = proposals + jnp.concatenate((-half, half), -1)
        y = pool_segments(x, proposals, self.pooled)
        y = y.reshape(*y.shape[:2], -1)
        for name in ("fc6", "fc7"):
            y = relu(Dense(self.hidden, dtype=self.dtype, name=f"{stream}_{name}")(y))
            y = Dropout(self.dropout_rate, name=f"{stream}_{name}_dropout")(y, train=train)
        width = 3 * self.num_classes + 1
        return Dense(width, dtype=self.dtype, name=f"{stream}_head")(y)
