"""What a tracker knows, and what it does with a frame: pure functions, to be compiled.

Source: Wang, Yeung, "Learning a Deep Compact Image Representation for Visual Tracking", 2013. There
the autoencoder had seen a million natural images; here it sees pieces of the first frame. Particles
have place, size and shape, and do not turn.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.errors import JaxnetsError
from jaxnets.models.stacked_autoencoder import StackedAutoencoder
from jaxnets.ops.particles import effective_sample_size, systematic_resample
from jaxnets.ops.roi import roi_align
from jaxnets.tasks.autoencoder_training import train_autoencoder


@dataclass(frozen=True)
class TrackerOptions:
    """What decides how well a thing is followed.

    Attributes:
        particles: P.
        side: pixels a side of what is cut out of a frame.
        hidden: units of the encoder's layers; the paper has 2560, 1024, 512, 256.
        motion: standard deviation of a particle's step, as a share of the box's sides.
        zoom: of its growth, as a logarithm.
        shape: of its change of width over height, as a logarithm.
        threshold: a best score below it makes the network learn again; one above it is remembered.
        every: frames after which it learns again anyway.
        remembered: how many cut-outs of the thing are kept; half of them are of the first frame.
        negatives: cut-outs of what is around it that it learns from.
        first_steps, steps: updates in the first frame, and when it learns again.
        learning_rate: of Adam.
        weight_decay: of kernels.
        pretraining: updates of each of the autoencoder's layers.

    >>> TrackerOptions(particles=0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: particles must be at least 1, got 0
    """

    particles: int = 1000
    side: int = 32
    hidden: tuple[int, ...] = (512, 256, 128)
    motion: float = 0.1
    zoom: float = 0.02
    shape: float = 0.005
    threshold: float = 0.9
    every: int = 10
    remembered: int = 40
    negatives: int = 200
    first_steps: int = 150
    steps: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 2e-3
    pretraining: int = 200

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no tracker can have."""
        counts = ("particles", "side", "every", "negatives", "first_steps", "steps", "pretraining")
        for name in counts:
            if getattr(self, name) < 1:
                raise JaxnetsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.remembered < 2:
            raise JaxnetsError(f"remembered must be at least 2, got {self.remembered}")

    @property
    def network(self) -> StackedAutoencoder:
        """The network that scores cut-outs."""
        return StackedAutoencoder(self.side**2, self.hidden)


class TrackerState(NamedTuple):
    """What is known after a frame.

    Attributes:
        particles: (P, 4): x and y of the center, and logarithms of size and shape, relative to the
            first box.
        params: of the network.
        moments: the optimizer's state.
        memory: (R, D), cut-outs of the thing.
        count: int32, how many of them were remembered since the first frame.
        frame: int32, how many frames were seen since.
        extent: (2,), width and height of the first box in pixels.

    >>> TrackerState._fields[:2]
    ('particles', 'params')
    """

    particles: jax.Array
    params: Any
    moments: Any
    memory: jax.Array
    count: jax.Array
    frame: jax.Array
    extent: jax.Array


class Tracked(NamedTuple):
    """What was found in a frame.

    Attributes:
        box: (4,), corners in pixels.
        score: of it, from 0 to 1.
        weights: (P,), of the particles; they add up to 1.
        effective: how many of them count, see `jaxnets.ops.particles.effective_sample_size`.
        learned: whether the network learned again.

    >>> Tracked._fields
    ('box', 'score', 'weights', 'effective', 'learned')
    """

    box: jax.Array
    score: jax.Array
    weights: jax.Array
    effective: jax.Array
    learned: jax.Array


def start_tracker(
    key: jax.Array, frame: jax.Array, box: jax.Array, options: TrackerOptions
) -> TrackerState:
    """Learn what a box of the first frame holds.

    The autoencoder sees pieces of the frame, of sizes like the box's; then the network learns to
    tell cut-outs of the box, moved by a pixel or so, from others around it.

    Args:
        key: a JAX random key.
        frame: (H, W), from 0 to 1.
        box: (4,), corners in pixels.
        options: what decides the result.

    Returns:
        `TrackerState`.

    Source: Wang, Yeung, 2013, sections 3.1 and 3.2.

    >>> options = TrackerOptions(20, 4, (8,), first_steps=1, pretraining=1)
    >>> frame, box = jnp.zeros((9, 9)), jnp.array([2.0, 2, 6, 7])
    >>> state = start_tracker(jax.random.key(0), frame, box, options)
    >>> state.particles.shape, state.memory.shape
    ((20, 4), (40, 16))
    """
    frame, box = jnp.asarray(frame, jnp.float32), jnp.asarray(box, jnp.float32)
    piece_key, train_key, near_key, far_key, fit_key = jax.random.split(key, 5)
    extent = box[2:] - box[:2]
    low = jnp.zeros(2)
    high = jnp.maximum(jnp.array(frame.shape[::-1], jnp.float32) - extent, 1.0)
    corner = jax.random.uniform(piece_key, (1000, 2), minval=low, maxval=high)
    pieces = _cut(frame, jnp.concatenate([corner, corner + extent], 1), options.side)
    variables = train_autoencoder(train_key, options.network, pieces, steps=options.pretraining)
    center = jnp.concatenate([(box[:2] + box[2:]) / 2, jnp.zeros(2)])
    spread = jnp.concatenate([0.02 * extent, jnp.full(2, 0.01)])
    near = center + spread * jax.random.normal(near_key, (options.remembered, 4))
    near = near.at[0].set(center)
    params = variables["params"]
    state = TrackerState(
        jnp.tile(center, (options.particles, 1)),
        params,
        _optimizer(options).init(params),
        _cut(frame, _boxes(near, extent), options.side),
        jnp.int32(0),
        jnp.int32(0),
        extent,
    )
    negatives = _around(far_key, frame, center, extent, options)
    return jax.jit(_learn, static_argnums=(3, 4))(
        fit_key, state, negatives, options, options.first_steps
    )


def track_frame(
    key: jax.Array, state: TrackerState, frame: jax.Array, options: TrackerOptions
) -> tuple[TrackerState, Tracked]:
    """Find the thing in the next frame; a pure function, to be compiled with static ``options``.

    Args:
        key: a JAX random key.
        state: after the frame before.
        frame: (H, W), from 0 to 1.
        options: what decides the result.

    Returns:
        The state after it, and `Tracked`.

    Source: Wang, Yeung, 2013, section 3.2; the weights of particles are the network's scores.

    >>> options = TrackerOptions(20, 4, (8,), first_steps=1, steps=1, pretraining=1)
    >>> frame, box = jnp.zeros((9, 9)), jnp.array([2.0, 2, 6, 7])
    >>> state = start_tracker(jax.random.key(0), frame, box, options)
    >>> state, found = track_frame(jax.random.key(1), state, frame, options)
    >>> found.box.shape, round(float(found.weights.sum()), 5)
    ((4,), 1.0)
    """
    move_key, draw_key, far_key, fit_key = jax.random.split(key, 4)
    size = state.extent * jnp.exp(state.particles[:, 2:3])
    spread = jnp.concatenate(
        [
            options.motion * size,
            jnp.broadcast_to(jnp.array([options.zoom, options.shape]), (len(size), 2)),
        ],
        1,
    )
    moved = state.particles + spread * jax.random.normal(move_key, state.particles.shape)
    # Centers stay within the frame.
    limit = jnp.array([*frame.shape[::-1], jnp.inf, jnp.inf])
    moved = jnp.clip(moved, jnp.array([0.0, 0.0, -jnp.inf, -jnp.inf]), limit)
    seen = _cut(frame, _boxes(moved, state.extent), options.side)
    logits = options.network.apply({"params": state.params}, seen, method="score")
    # Scores over their sum, without losing those that are all small.
    weights = jax.nn.softmax(jax.nn.log_sigmoid(logits))
    best = logits.argmax()
    score = jax.nn.sigmoid(logits[best])
    place = moved[best]
    drawn = systematic_resample(draw_key, weights)
    # The second half of the memory is renewed in turn.
    half = options.remembered // 2
    slot = half + state.count % (options.remembered - half)
    sure = score >= options.threshold
    memory = jnp.where(sure, state.memory.at[slot].set(seen[best]), state.memory)
    after = state._replace(
        particles=moved[drawn],
        memory=memory,
        count=state.count + sure,
        frame=state.frame + 1,
    )
    learned = ~sure | (after.frame % options.every == 0)

    def again(state):
        negatives = _around(far_key, frame, place, state.extent, options)
        return _learn(fit_key, state, negatives, options, options.steps)

    after = jax.lax.cond(learned, again, lambda state: state, after)
    box = _boxes(place[None], state.extent)[0]
    return after, Tracked(box, score, weights, effective_sample_size(weights), learned)


def _boxes(places, extent):
    """Corners (n, 4) of places (n, 4)."""
    size = extent * jnp.exp(places[:, 2:3] + jnp.array([0.5, -0.5]) * places[:, 3:])
    return jnp.concatenate([places[:, :2] - size / 2, places[:, :2] + size / 2], 1)


def _cut(frame, boxes, side):
    """What is in boxes (n, 4) of a frame (H, W), at one size: (n, side²)."""
    image, one = frame[None, ..., None], {"strides": 1.0, "samples": 1, "aligned": True}
    found = roi_align(image, boxes[None], side, **one)
    return found.reshape(len(boxes), -1)


def _around(key, frame, place, extent, options):
    """Cut-outs beside a place, by a quarter of the box to one and a half; some of another size."""
    angle_key, far_key, size_key, other_key = jax.random.split(key, 4)
    count = options.negatives
    angle = jax.random.uniform(angle_key, (count,), maxval=2 * jnp.pi)
    far = jax.random.uniform(far_key, (count,), minval=0.25, maxval=1.5)
    # A fifth lie on the thing, and are much too large or too small.
    other = jnp.arange(count) < count // 5
    zoom = jax.random.uniform(size_key, (count,), minval=0.25, maxval=0.6)
    zoom = jnp.where(jax.random.bernoulli(other_key, 0.5, (count,)), zoom, -zoom)
    size = extent * jnp.exp(place[2])
    step = jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1) * far[:, None] * size
    center = place[:2] + jnp.where(other[:, None], 0.0, step)
    more = jnp.stack([place[2] + jnp.where(other, zoom, 0.0), jnp.full(count, place[3])], 1)
    return _cut(frame, _boxes(jnp.concatenate([center, more], 1), extent), options.side)


def _optimizer(options):
    return optax.adamw(options.learning_rate, weight_decay=options.weight_decay)


def _learn(key, state, negatives, options, steps):
    """Updates on the memory and on what is around."""
    network, optimizer = options.network, _optimizer(options)

    def loss(params, key):
        rows = jax.random.randint(key, (len(negatives) // 2 + 1,), 0, len(negatives))
        seen = jnp.concatenate([state.memory, negatives[rows]])
        logits = network.apply({"params": params}, seen, method="score")
        truth = jnp.arange(len(seen)) < len(state.memory)
        losses = optax.sigmoid_binary_cross_entropy(logits, truth.astype(logits.dtype))
        # Both kinds weigh the same.
        return losses[: len(state.memory)].mean() + losses[len(state.memory) :].mean()

    def update(carry, key):
        params, moments = carry
        changes, moments = optimizer.update(jax.grad(loss)(params, key), moments, params)
        return (optax.apply_updates(params, changes), moments), None

    keys = jax.random.split(key, steps)
    (params, moments), _ = jax.lax.scan(update, (state.params, state.moments), keys)
    return state._replace(params=params, moments=moments)
