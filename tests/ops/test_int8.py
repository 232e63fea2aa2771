"""Convolutions of eight-bit integers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops.convolution import int8, onednn_support
from jaxnets.ops.convolution.onednn_probe import definition
from jaxnets.ops.convolution.problem import Problem

HERE = Path(__file__).parent
PROBLEM = Problem((2, 9, 7, 16), (3, 2, 16, 8), (2, 1), ((1, 1), (0, 1)), (1, 2))


def arrays(problem=PROBLEM, dtype=jnp.uint8):
    rng = np.random.default_rng(0)
    low = 0 if dtype == jnp.uint8 else -128
    x = jnp.asarray(rng.integers(low, low + 256, problem.x_shape), dtype)
    return x, jnp.asarray(rng.integers(-127, 128, problem.kernel_shape), jnp.int8)


def fuzz(seed: int, count: int) -> dict:
    # What oneDNN refuses would end the process: in a child.
    done = subprocess.run(
        [sys.executable, str(HERE / "int8_fuzz.py"), str(seed), str(count)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def test_random_convolutions_are_exact():
    found = fuzz(seed=1, count=40)
    assert (found["checked"], found["wrong"]) == (40, [])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 15))
def test_a_thousand_random_convolutions_are_exact(seed):
    assert fuzz(seed, count=200)["wrong"] == []


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8])
def test_both_ways_are_exact_and_vmap_merges_images(dtype, monkeypatch):
    x, kernel = arrays(dtype=dtype)
    want = definition(np.asarray(x), np.asarray(kernel), PROBLEM)
    run = jax.jit(lambda x, k: int8.int8_conv(x, k, PROBLEM))
    np.testing.assert_array_equal(run(x, kernel), want)
    called = "__onednn$convolution" in run.lower(x, kernel).as_text()
    assert called == int8.native()
    each = jax.vmap(lambda x: int8.int8_conv(x, kernel, PROBLEM))(jnp.stack([x, x + 1]))
    np.testing.assert_array_equal(each[0], want)
    kernels = jnp.stack([kernel, -kernel])
    other = jax.vmap(lambda k: int8.int8_conv(x, k, PROBLEM))(kernels)
    np.testing.assert_array_equal(other[1], -want)
    # Without the processor's instructions, without oneDNN, and for another machine: XLA's.
    monkeypatch.setattr(int8, "VNNI", frozenset())
    plain = jax.jit(lambda x, k: int8.int8_conv(x, k, PROBLEM))
    assert "__onednn" not in plain.lower(x, kernel).as_text()
    np.testing.assert_array_equal(plain(x, kernel), want)
    monkeypatch.undo()
    text = run.trace(x, kernel).lower(lowering_platforms=("tpu",)).as_text()
    assert "__onednn" not in text


def test_no_images_and_groups_are_left_to_xla():
    empty = PROBLEM.replace(x_shape=(0, 9, 7, 16))
    x, kernel = arrays(empty)
    assert int8.int8_conv(x, kernel, empty).shape == empty.out_shape
    grouped = PROBLEM.replace(kernel_shape=(3, 2, 4, 8), groups=4)
    several = PROBLEM.replace(kernel_shape=(3, 2, 1, 32), groups=16)
    single = PROBLEM.replace(x_shape=(2, 9, 7, 1), kernel_shape=(3, 2, 1, 8))
    for problem in (grouped, several, single):
        assert not int8.supported(problem)
        x, kernel = arrays(problem, jnp.int8)
        np.testing.assert_array_equal(
            int8.int8_conv(x, kernel, problem),
            definition(np.asarray(x), np.asarray(kernel), problem),
        )


def test_wrong_operands_are_said():
    x, kernel = arrays()
    with pytest.raises(ValueError, match="must be int8"):
        int8.int8_conv(x.astype(jnp.float32), kernel, PROBLEM)
    with pytest.raises(ValueError, match="is not that of"):
        int8.int8_conv(x[:1], kernel, PROBLEM)


def test_an_untried_processor_is_probed(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(onednn_support, "probe", lambda program: asked.append(program) or "wrong")
    onednn_support.int8_is_right.cache_clear()
    try:
        assert not onednn_support.int8_is_right("99.0", "amx")
        assert asked == [onednn_support.INT8_PROBE]
        assert onednn_support.int8_is_right(*next(iter(onednn_support.TRIED_INT8)))
    finally:
        onednn_support.int8_is_right.cache_clear()


@pytest.mark.skipif(not int8.native(), reason="eight-bit oneDNN on x86-64 Linux with VNNI")
def test_the_probe_says_right_here():
    assert onednn_support.probe(onednn_support.INT8_PROBE) == "right"
