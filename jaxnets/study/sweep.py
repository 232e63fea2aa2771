"""The same run for many random keys, with many values of a setting.

Runs whose arithmetic is dense go side by side: one compiled program under vmap over keys and
values, the steps in a scan, so that ten runs cost little more than one. Networks with convolutions
run one after the other with one compiled step, because XLA's CPU backend turns a convolution with
kernels of its own per key into a slow grouped one, and runs one inside a scan without its fast code
(7 to 20 times slower, measured).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PyTree = Any


def make_keys(count: int, seed: int = 0) -> np.ndarray:
    """Seeds of ``count`` runs: a key decides first weights, order of batches, dropout masks.

    Two sweeps with the same keys are paired: compare them key by key.

    Args:
        count: of keys.
        seed: other seeds give keys that do not overlap, for up to 1000 keys.

    Returns:
        (count,), int32.

    >>> make_keys(3).tolist()
    [0, 1, 2]
    """
    return np.arange(count, dtype=np.int32) + 1000 * seed


def orders(keys: Sequence[int], examples: int, steps: int, batch_size: int) -> np.ndarray:
    """Which examples each step sees: shuffled passes over all of them, by key alone.

    Args:
        keys: of `make_keys`.
        examples: size of the training set.
        steps: of a run.
        batch_size: what is left over at the end of a pass is left out.

    Returns:
        (keys, steps, batch_size) indices, int32.

    Raises:
        ValueError: a batch that is larger than the set.

    >>> orders([0], examples=5, steps=2, batch_size=2).shape
    (1, 2, 2)
    """
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


def _all(carry: PyTree) -> PyTree:
    return carry


class Sweep:
    """A run in three pure functions, compiled once for any keys and values.

    ``carry`` is what a run takes from step to step, a pytree of arrays; ``value`` is the setting
    that is swept over, a number or a pytree of them; ``arrays`` is what all runs share: the data.

    Args:
        begin: (seed, value, first) → carry. ``first`` is the run's entry of the call's ``first``.
        step: (carry, value, batch, arrays) → (carry, output). ``batch`` is the step's entry of the
            call's ``batches``, such as indices of examples.
        measure: (carry, value, arrays) → pytree of arrays, before the first and after each block.
        finish: carry → what is kept of it at the end.

    >>> def begin(seed, value, first): return first
    >>> def step(x, value, batch, arrays): return x - value * batch * x, x
    >>> def measure(x, value, arrays): return x**2
    >>> descend = Sweep(begin, step, measure)
    >>> found, outputs, last = descend(
    ...     jnp.arange(2), jnp.array([0.0, 0.5]), jnp.ones((2, 3, 1)), jnp.array([1.0, 2.0])
    ... )
    >>> found[1].tolist()  # value 0.5: (keys, evaluations)
    [[1.0, 0.25, 0.0625, 0.015625], [4.0, 1.0, 0.25, 0.0625]]
    """

    def __init__(
        self,
        begin: Callable,
        step: Callable,
        measure: Callable,
        finish: Callable[[PyTree], PyTree] = _all,
    ):
        self.begin, self.step, self.measure, self.finish = begin, step, measure, finish
        self._begin, self._step, self._measure = jax.jit(begin), jax.jit(step), jax.jit(measure)
        self._beside: dict[bool, Callable] = {}

    def __call__(
        self,
        seeds: jax.Array,
        values: PyTree,
        batches: jax.Array,
        first: PyTree = None,
        arrays: PyTree = None,
        *,
        loop: bool = False,
        until: Callable[[PyTree], bool] | None = None,
    ) -> tuple[PyTree, PyTree, PyTree]:
        """Run every key with every value.

        Args:
            seeds: (keys,), integers.
            values: leaves without axes (one setting), or with a common first axis V.
            batches: (keys, blocks, steps of a block, …).
            first: leaves with the first axis (keys,), for ``begin``.
            arrays: see the class.
            loop: one run after the other instead of side by side.
            until: what ``measure`` returned after a block → whether this run is done. What a run
                that is done leaves out repeats its last block. Runs side by side share their
                program, so that they all go on to the end.

        Returns:
            (measured, outputs, kept): leaves with leading axes (V, keys), or (keys,) for one
            setting; then blocks + 1 for ``measured``, and blocks × steps of a block for
            ``outputs``.

        Raises:
            ValueError: leaves of ``values`` that differ in their first axis.
        """
        values = jax.tree.map(jnp.asarray, values)
        leading = {v.shape[:1] for v in jax.tree.leaves(values)} or {()}
        if len(leading) > 1:
            raise ValueError(f"values: got leaves of first axes {leading}; expected one")
        swept = leading != {()}
        if not loop:
            together = self._side_by_side(swept)
            measured, outputs, kept = together(seeds, values, jnp.asarray(batches), first, arrays)
        else:
            # On the host: to take a step's entry from a device's array is a program of its own.
            batches = np.asarray(batches)
            runs = [
                stack(
                    [
                        self._one(seed, value, batches[k], _entry(first, k), arrays, until)
                        for k, seed in enumerate(seeds)
                    ]
                )
                for value in _settings(values, swept)
            ]
            measured, outputs, kept = stack(runs) if swept else runs[0]
        lead = 1 + swept
        outputs = jax.tree.map(
            lambda x: x.reshape(*x.shape[:lead], -1, *x.shape[lead + 2 :]), outputs
        )
        return measured, outputs, kept

    def _scanned(self, seed, value, batches, first, arrays):
        carry = self.begin(seed, value, first)
        before = self.measure(carry, value, arrays)

        def block(carry, some):
            carry, outputs = lax.scan(lambda c, b: self.step(c, value, b, arrays), carry, some)
            return carry, (self.measure(carry, value, arrays), outputs)

        carry, (measured, outputs) = lax.scan(block, carry, batches)
        join = lambda one, more: jnp.concatenate([one[None], more])  # noqa: E731
        return jax.tree.map(join, before, measured), outputs, self.finish(carry)

    def _side_by_side(self, swept: bool) -> Callable:
        if swept not in self._beside:
            run = jax.vmap(self._scanned, (0, None, 0, 0, None))
            if swept:
                run = jax.vmap(run, (None, 0, None, None, None))
            self._beside[swept] = jax.jit(run)
        return self._beside[swept]

    def _one(self, seed, value, batches, first, arrays, until):
        carry = self._begin(seed, value, first)
        measured, outputs = [self._measure(carry, value, arrays)], []
        for block in batches:
            inside = []
            for batch in block:
                carry, output = self._step(carry, value, batch, arrays)
                inside.append(output)
            outputs.append(stack(inside))
            measured.append(self._measure(carry, value, arrays))
            if until is not None and until(measured[-1]):
                break
        left = len(batches) - len(outputs)
        measured += measured[-1:] * left
        outputs += outputs[-1:] * left
        return stack(measured), stack(outputs), self.finish(carry)


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Pytrees of equal structure as one, with a new first axis.

    >>> stack([{"a": jnp.zeros(3)}, {"a": jnp.ones(3)}])["a"].shape
    (2, 3)
    """
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _entry(tree: PyTree, index: int) -> PyTree:
    return jax.tree.map(lambda x: x[index], tree)


def _settings(values: PyTree, swept: bool) -> list[PyTree]:
    """One value of the setting after the other."""
    if not swept:
        return [values]
    leaves, tree = jax.tree.flatten(values)
    return [jax.tree.unflatten(tree, one) for one in zip(*leaves, strict=True)]
