"""Training a network from several keys with several values of a setting, and what the runs show.

On the steps of `jaxnets.train.train_step`, over the keys and values of `jaxnets.study.sweep`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnets.losses import cross_entropy
from jaxnets.ops.activations import identity
from jaxnets.optim.traced import Alike, trace_key
from jaxnets.study.data import Data, Part
from jaxnets.study.sweep import Sweep, orders, stack
from jaxnets.train import Task, TrainState, train_step

PyTree = Any


class Runs(NamedTuple):
    """What was measured; arrays are NumPy's, with leading axes (values…, keys).

    ``values…`` is one axis if `train_many` got arrays for ``values``, and absent if it got scalars.
    E evaluations: before the first step, and after each block of steps.

    Attributes:
        steps: (E,) updates done at each evaluation.
        batch_loss: (…, keys, S) loss of each step's batch before its update.
        train_loss: (…, keys, E), in evaluation mode.
        train_accuracy: (…, keys, E).
        test_loss: (…, keys, E).
        test_accuracy: (…, keys, E).
        probe: (…, keys, E, …) what ``probe`` returned; None without one.
        variables: (…, keys, …) of the ends of the runs, JAX arrays.

    Example: two values of a setting, three keys, 20 steps with two evaluations after the start.

        >>> loss, accuracy = np.ones((2, 3, 3)), np.full((2, 3, 3), 0.5)
        >>> runs = Runs(
        ...     steps=np.array([0, 10, 20]),
        ...     batch_loss=np.ones((2, 3, 20)),
        ...     train_loss=loss,
        ...     train_accuracy=accuracy,
        ...     test_loss=loss,
        ...     test_accuracy=accuracy,
        ...     probe=None,
        ...     variables={},
        ... )
        >>> runs.accuracy.shape, runs.take(0).accuracy.tolist()
        ((2, 3), [50.0, 50.0, 50.0])
    """

    steps: np.ndarray
    batch_loss: np.ndarray
    train_loss: np.ndarray
    train_accuracy: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    probe: PyTree
    variables: PyTree

    @property
    def accuracy(self) -> np.ndarray:
        """Test accuracy at the end, in per cent, (…, keys)."""
        return 100 * self.test_accuracy[..., -1]

    def take(self, index: int | slice | Sequence[int]) -> "Runs":
        """The runs at one value of the setting (an index), or at several (a slice)."""
        rest = self._replace(steps=None)
        return jax.tree.map(lambda x: x[index], rest)._replace(steps=self.steps)


def train_many(
    model: nn.Module,
    rule: Callable[[Any], optax.GradientTransformation],
    values: Any,
    data: Data,
    keys: Sequence[int],
    *,
    steps: int,
    batch_size: int = 64,
    evaluations: int = 10,
    loss_fn: Callable = cross_entropy,
    prepare: Callable | None = None,
    start: Callable[[PyTree, Any], PyTree] | None = None,
    probe: Callable[[TrainState, Data], PyTree] | None = None,
    train_examples: int = 1000,
    loop: bool | None = None,
    until: Callable[[dict[str, Any]], bool] | None = None,
) -> Runs:
    """Train a classifier from every key, with every value of a setting.

    Compiled functions are kept by what model, rule, loss_fn, prepare, start and probe compute when
    they are traced, which is at each call: where they do as before, nothing is compiled.

    Args:
        model: a linen network with a ``train`` keyword.
        rule: value → Optax transformation; `optim.sgd` with learning rates as ``values`` will do.
        values: what ``rule`` and ``start`` get: a scalar (one setting), or an array (V,), or a
            pytree of arrays that share their first axis (V settings).
        data: what to train on.
        keys: of `make_keys`.
        steps: updates; must be a multiple of ``evaluations``.
        batch_size: examples a step.
        evaluations: how many times the run is evaluated after the start.
        loss_fn: (logits (B, K), labels (B,)) → scalar mean loss of a training batch.
        prepare: augmentation, as in `jaxnets.train.train_step`.
        start: (initial parameters, value) → changed ones.
        probe: (state, data) → pytree of arrays, at each evaluation; for dead units, averages … .
        train_examples: training examples that ``train_loss`` and ``train_accuracy`` look at.
        loop: one run after the other instead of side by side; default: networks with convolutions.
        until: an evaluation, by the names of `Runs`, → whether that run is done. It then stops, and
            what it leaves out repeats its last evaluation. Only where ``loop`` is: runs side by
            side all go on.

    Returns:
        The `Runs`.

    Raises:
        ValueError: steps that do not divide, or values whose first axes differ.

    Example: softmax regression with two learning rates from two keys; a rate of 0 learns nothing.

        >>> from jaxnets import create_model
        >>> from jaxnets.study import make_keys
        >>> from jaxnets.study.data import load
        >>> runs = train_many(
        ...     create_model("mlp", num_classes=10, hidden=()),
        ...     optax.sgd,
        ...     jnp.array([0.0, 0.1]),
        ...     load("digits", train=100, test=50),
        ...     make_keys(2),
        ...     steps=10,
        ...     evaluations=1,
        ... )
        >>> runs.steps.tolist(), runs.train_loss.shape
        ([0, 10], (2, 2, 2))
        >>> (runs.train_loss[..., -1] < runs.train_loss[..., 0]).tolist()
        [[False, False], [True, True]]
    """
    if steps % evaluations:
        raise ValueError(f"steps: got {steps}; expected a multiple of evaluations ({evaluations})")
    order = orders(keys, len(data.train.labels), steps, batch_size)
    order = order.reshape(len(order), evaluations, -1, batch_size)
    program = _Program(model, rule, loss_fn, prepare, start, probe)
    if loop is None:
        loop = has_convolutions(model, data.image_shape)
    seeds = jnp.asarray(keys, jnp.uint32)
    initial = _kept(Alike(trace_key(program.initial_for(data.image_shape), seeds[0]), program))
    first = initial.initials(seeds, data.image_shape)
    arrays = (data.train, data.test, Part(*(x[:train_examples] for x in data.train)))
    program = _kept(Alike(program.key(seeds, values, order, first, arrays), program))
    measured, batch_loss, variables = program.sweep(
        seeds, values, order, first, arrays, loop=loop, until=until
    )
    measured, batch_loss = jax.device_get((measured, batch_loss))
    counts = np.arange(evaluations + 1) * (steps // evaluations)
    return Runs(counts, batch_loss, **measured, variables=variables)


def loss_only(
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> Task:
    """Classification as far as `train_step` needs it, for runs that are measured elsewhere.

    `jaxnets.tasks` stands beside this room and draws with it, so it cannot be imported here.

    Args:
        loss_fn: (logits (B, K), labels (B,)) → scalar mean loss.
        preprocess: images as stored → images as the network wants them.

    Returns:
        A task on batches of ``image`` and ``label``.

    >>> task = loss_only()
    >>> batch = {"image": jnp.zeros((1, 2, 2, 1)), "label": jnp.array([0])}
    >>> round(float(task.loss(jnp.zeros((1, 2)), {}, batch)[0]), 4)  # ln 2
    0.6931
    """

    def loss(logits, updates, batch):
        del updates
        return loss_fn(logits, batch["label"]), {}

    return Task(inputs=lambda batch: preprocess(batch["image"]), loss=loss)


def has_convolutions(model: nn.Module, image_shape: Sequence[int]) -> bool:
    """Whether any parameter is a kernel with spatial axes.

    Args:
        model: a linen network with a ``train`` keyword.
        image_shape: (H, W, C).
    """
    image = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(
        init, {"params": jax.random.key(0), "dropout": jax.random.key(0)}, image
    )
    return any(leaf.ndim > 2 for leaf in jax.tree.leaves(shapes["params"]))


def steps_to(steps: np.ndarray, curve: np.ndarray, target: float) -> np.ndarray:
    """Where each curve first falls to ``target``; linear between evaluations.

    A curve that never gets there counts as twice the last step, so that it is never better than
    one that did; report how many there are. For accuracies give their negatives.

    Args:
        steps: (E,).
        curve: (…, E).
        target: to be reached.

    Returns:
        (…).

    >>> steps_to(np.array([0, 10, 20]), np.array([[3.0, 1.0, 0.5], [3.0, 3.0, 3.0]]), 2.0)
    array([ 5., 40.])
    """
    curve = np.where(np.isfinite(curve), curve, np.inf)
    flat = curve.reshape(-1, curve.shape[-1])
    out = np.full(len(flat), 2.0 * steps[-1])
    for i, y in enumerate(flat):
        there = np.flatnonzero(y <= target)
        if len(there):
            j = there[0]
            out[i] = steps[0]
            if j:
                share = (y[j - 1] - target) / (y[j - 1] - y[j]) if np.isfinite(y[j - 1]) else 1.0
                out[i] = steps[j - 1] + share * (steps[j] - steps[j - 1])
    return out.reshape(curve.shape[:-1])


def best(scores: np.ndarray) -> int:
    """Which row of (V, keys) has the lowest mean; a run that diverged (NaN, inf) is the worst.

    >>> best(np.array([[0.1, np.nan], [0.3, 0.3], [0.2, 0.2]]))
    2
    """
    return int(np.argmin(np.where(np.isfinite(scores), scores, np.inf).mean(-1)))


@functools.lru_cache(maxsize=256)
def _kept(alike: Alike) -> Any:
    """The first of all programs that are alike: its functions are compiled."""
    return alike.value


class _Program:
    """The functions of one (model, rule, …), and their compiled forms."""

    def __init__(self, model, rule, loss_fn, prepare, start, probe):
        self.model, self.rule, self.change, self.probe = model, rule, start, probe
        self.update = functools.partial(train_step, task=loss_only(loss_fn), prepare=prepare)
        self._initial = jax.jit(self.initial, static_argnums=1)
        self.sweep = Sweep(self.begin, self.step, self.measure, self.finish)

    def initial_for(self, image_shape: tuple[int, ...]) -> Callable:
        return lambda seed: self.initial(seed, tuple(image_shape))

    def key(self, seeds, values, order, first, arrays) -> tuple:
        """What the functions compute, on the shapes of one step of one run with one value."""
        values = jax.tree.map(jnp.asarray, values)
        value = jax.tree.map(lambda v: v[0] if v.ndim else v, values)
        one = jax.tree.map(lambda leaf: leaf[0], first)
        begin = trace_key(self.begin, seeds[0], value, one)
        packed = jax.eval_shape(self.begin, seeds[0], value, one)
        step = trace_key(self.step, packed, value, order[0, 0, 0], arrays)
        return begin, step, trace_key(self.measure, packed, value, arrays)

    # Between compiled functions a state travels as its arrays: its optimizer may hold the value
    # of the setting, which is a number only inside of each of them.
    def pack(self, state: TrainState) -> tuple:
        return state.step, state.params, state.model_state, state.opt_state, state.key

    def unpack(self, arrays: tuple, value: Any) -> TrainState:
        return TrainState(*arrays, apply_fn=self.model.apply, tx=self.rule(value))

    def initial(self, seed, image_shape) -> dict:
        """A key's first variables, by the generator that compiles fastest (10 s become 1)."""
        key = jax.random.key(seed, impl="rbg")
        images = jnp.zeros((2, *image_shape))
        return self.model.init({"params": key, "dropout": key}, images, train=False)

    def initials(self, seeds, image_shape) -> PyTree:
        return stack([self._initial(seed, tuple(image_shape)) for seed in seeds])

    def begin(self, seed, value, variables) -> tuple:
        model_state = {name: v for name, v in variables.items() if name != "params"}
        params = variables["params"]
        if self.change is not None:
            params = self.change(params, value)
        opt_state = self.rule(value).init(params)
        return jnp.zeros((), jnp.int32), params, model_state, opt_state, jax.random.key(seed)

    def step(self, packed, value, indices, arrays) -> tuple:
        train = arrays[0]
        batch = {"image": train.images[indices], "label": train.labels[indices]}
        state, metrics = self.update(self.unpack(packed, value), batch)
        return self.pack(state), metrics["loss"]

    def measure(self, packed, value, arrays) -> dict:
        state = self.unpack(packed, value)
        out = {"probe": None}
        for name, part in (("train", arrays[2]), ("test", arrays[1])):
            logits = self.model.apply(state.variables, part.images, train=False)
            out[f"{name}_loss"] = cross_entropy(logits, part.labels)
            out[f"{name}_accuracy"] = (jnp.argmax(logits, -1) == part.labels).mean()
        if self.probe is not None:
            out["probe"] = self.probe(state, Data("", arrays[0], arrays[1], 0))
        return out

    def finish(self, packed) -> dict:
        return {"params": packed[1], **packed[2]}
