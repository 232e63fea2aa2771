"""Training small networks over several keys and settings, as one compiled program.

On the steps of `jaxnets.train.train_step`. Dense networks: all keys and settings under one vmap,
the steps in a scan, so that ten runs cost little more than one. Networks with convolutions: a
Python loop over runs and steps with one compiled step, because XLA's CPU backend turns a
convolution with kernels of its own per key into a slow grouped one, and runs one inside a scan
without its fast code (7 to 20 times slower, measured).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax

from experiments.claims.framework.data import Data, Part
from jaxnets.losses import cross_entropy
from jaxnets.tasks import classification
from jaxnets.train import TrainState, train_step

PyTree = Any


class Runs(NamedTuple):
    """What was measured; all arrays NumPy, leading axes (values…, keys).

    ``values…`` is one axis if `train_many` got arrays for ``values``, and absent if it got none or
    scalars. E evaluations: before the first step, and after each block of steps.
    """

    steps: np.ndarray  # (E,) updates done at each evaluation
    batch_loss: np.ndarray  # (…, keys, S) loss of each step's batch before its update
    train_loss: np.ndarray  # (…, keys, E) in evaluation mode
    train_accuracy: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    probe: PyTree  # (…, keys, E, …) what ``probe`` returned; None without one
    variables: PyTree  # (…, keys, …) of the ends of the runs, JAX arrays

    @property
    def accuracy(self) -> np.ndarray:
        """Test accuracy at the end, in per cent, (…, keys)."""
        return 100 * self.test_accuracy[..., -1]


def make_keys(count: int, seed: int = 0) -> np.ndarray:
    """Seeds of ``count`` runs: a key decides first weights, order of batches, dropout masks.

    Two calls of `train_many` with the same keys are paired: compare them key by key.

    >>> make_keys(3).tolist()
    [0, 1, 2]
    """
    return np.arange(count, dtype=np.int32) + 1000 * seed


def orders(keys: Sequence[int], examples: int, steps: int, batch_size: int) -> np.ndarray:
    """Indices (keys, steps, batch): shuffled passes over the examples, by key alone."""
    if not 1 <= batch_size <= examples:
        raise ValueError(f"batch_size: got {batch_size}; expected 1 to {examples} examples")
    per_pass = examples // batch_size
    passes = -(-steps // per_pass)
    out = [
        np.concatenate(
            [
                np.random.default_rng([int(key), p]).permutation(examples)[: per_pass * batch_size]
                for p in range(passes)
            ]
        ).reshape(-1, batch_size)[:steps]
        for key in keys
    ]
    return np.asarray(out, np.int32)


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
    augment: Callable | None = None,
    start: Callable[[PyTree, Any], PyTree] | None = None,
    probe: Callable[[TrainState, Data], PyTree] | None = None,
    train_examples: int = 1000,
    loop: bool | None = None,
) -> Runs:
    """Train ``model`` from every key, with every value of a setting.

    Compiled functions are kept by (model, rule, loss_fn, augment, start, probe), so give functions
    that live at a module's top (``optim.momentum``), not lambdas made anew for each call.

    Args:
        model: a linen network with a ``train`` keyword.
        rule: value → Optax transformation; `optim.sgd` with learning rates as ``values`` will do.
        values: what ``rule`` and ``start`` get: a scalar (one setting), or an array (V,), or a
            pytree of arrays that share their first axis (V settings).
        data: what to train on.
        keys: `make_keys`.
        steps: updates; must be a multiple of ``evaluations``.
        batch_size: examples a step.
        evaluations: how many times the run is evaluated after the start.
        loss_fn: as in `jaxnets.tasks.classification`.
        augment: the ``prepare`` of `jaxnets.train.train_step`.
        start: (initial parameters, value) → changed ones.
        probe: (state, data) → pytree of arrays, at each evaluation; for dead units, averages … .
        train_examples: training examples that ``train_loss`` and ``train_accuracy`` look at.
        loop: one run after the other instead of vmap and scan; default: networks with convolutions.

    Raises:
        ValueError: steps that do not divide.
    """
    if steps % evaluations:
        raise ValueError(f"steps: got {steps}; expected a multiple of evaluations ({evaluations})")
    order = orders(keys, len(data.train.labels), steps, batch_size)
    order = order.reshape(len(order), evaluations, -1, batch_size)
    values = jax.tree.map(jnp.asarray, values)
    leading = {v.shape[:1] for v in jax.tree.leaves(values)} or {()}
    if len(leading) > 1:
        raise ValueError(f"values: got leaves of first axes {leading}; expected one")
    swept = leading != {()}
    program = _Program(model, rule, loss_fn, augment, start, probe)
    if loop is None:
        loop = has_convolutions(model, data.image_shape)
    seeds = jnp.asarray(keys, jnp.uint32)
    first = program.initials(seeds, data.image_shape)
    arrays = (data.train, data.test, _first(data.train, train_examples))
    if loop:
        runs = [
            _stack(
                [
                    program.looped(*one, arrays)
                    for one in zip(seeds, [value] * len(order), order, first, strict=True)
                ]
            )
            for value in _settings(values, swept)
        ]
        found = _stack(runs) if swept else runs[0]
    else:
        found = program.vmapped(swept)(seeds, values, jnp.asarray(order), _stack(first), arrays)
    measured, batch_loss = jax.device_get(found[:2])
    shape = batch_loss.shape[: 1 + swept]
    counts = np.arange(evaluations + 1) * (steps // evaluations)
    return Runs(counts, batch_loss.reshape(*shape, steps), **measured, variables=found[2])


def has_convolutions(model: nn.Module, image_shape: Sequence[int]) -> bool:
    """Whether any parameter is a kernel with spatial axes."""
    image = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(
        init, {"params": jax.random.key(0), "dropout": jax.random.key(0)}, image
    )
    return any(leaf.ndim > 2 for leaf in jax.tree.leaves(shapes["params"]))


def steps_to(steps: np.ndarray, curve: np.ndarray, target: float) -> np.ndarray:
    """Where each curve (…, E) first falls to ``target``; linear between evaluations.

    A curve that never gets there counts as twice the last step, so that it is never better than
    one that did; report how many there are. For accuracies give their negatives.

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


def _settings(values: PyTree, swept: bool) -> list[PyTree]:
    """One value of the setting after the other."""
    if not swept:
        return [values]
    leaves, tree = jax.tree.flatten(values)
    return [jax.tree.unflatten(tree, one) for one in zip(*leaves, strict=True)]


def _first(part: Part, count: int) -> Part:
    return Part(part.images[:count], part.labels[:count])


def _stack(runs: list) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)


@functools.lru_cache(maxsize=256)
class _Program:
    """The compiled functions of one (model, rule, …)."""

    def __init__(self, model, rule, loss_fn, augment, start, probe):
        self.model, self.rule, self.change, self.probe = model, rule, start, probe
        task = classification(model.num_classes, loss=loss_fn)
        self.step = functools.partial(train_step, task=task, prepare=augment)
        self._initial = jax.jit(self.initial, static_argnums=1)
        self._begin, self._advance = jax.jit(self.begin), jax.jit(self.advance)
        self._measure = jax.jit(self.measure)
        self._vmapped = {}

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

    def initials(self, seeds, image_shape) -> list:
        return [self._initial(seed, tuple(image_shape)) for seed in seeds]

    def begin(self, seed, value, variables) -> tuple:
        model_state = {name: v for name, v in variables.items() if name != "params"}
        params = variables["params"]
        if self.change is not None:
            params = self.change(params, value)
        opt_state = self.rule(value).init(params)
        return jnp.zeros((), jnp.int32), params, model_state, opt_state, jax.random.key(seed)

    def advance(self, packed, value, indices, arrays) -> tuple:
        train = arrays[0]
        batch = {"image": train.images[indices], "label": train.labels[indices]}
        state, metrics = self.step(self.unpack(packed, value), batch)
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

    def scanned(self, seed, value, order, variables, arrays) -> tuple:
        packed = self.begin(seed, value, variables)
        first = self.measure(packed, value, arrays)

        def block(packed, indices):
            packed, losses = lax.scan(
                lambda p, i: self.advance(p, value, i, arrays), packed, indices
            )
            return packed, (self.measure(packed, value, arrays), losses)

        packed, (measured, losses) = lax.scan(block, packed, order)
        join = lambda one, more: jnp.concatenate([one[None], more])  # noqa: E731
        return jax.tree.map(join, first, measured), losses, self.unpack(packed, value).variables

    def vmapped(self, swept: bool) -> Callable:
        if swept not in self._vmapped:
            run = jax.vmap(self.scanned, (0, None, 0, 0, None))
            if swept:
                run = jax.vmap(run, (None, 0, None, None, None))
            self._vmapped[swept] = jax.jit(run)
        return self._vmapped[swept]

    def looped(self, seed, value, order, variables, arrays) -> tuple:
        packed = self._begin(seed, value, variables)
        measured, losses = [self._measure(packed, value, arrays)], []
        for block in order:
            for indices in block:
                packed, loss = self._advance(packed, value, indices, arrays)
                losses.append(loss)
            measured.append(self._measure(packed, value, arrays))
        losses = jnp.stack(losses)
        variables = {"params": packed[1], **packed[2]}
        return _stack(measured), losses, variables
