"""Compilation ahead of time, and the name of the processor."""

import os

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.study.programs import compile_ahead, processor


def test_a_compiled_function_knows_its_memory():
    a, b = jnp.ones((64, 128)), jnp.ones((128, 32))
    compiled = compile_ahead(lambda a, b: a @ b, a, b)
    np.testing.assert_allclose(compiled.program(a, b), 128.0)
    assert compiled.compile_seconds > 0
    # Arguments and result in float32, at least.
    assert compiled.memory_bytes >= 4 * (64 * 128 + 128 * 32 + 64 * 32)
    assert compiled.temporary_bytes >= 0


def test_shapes_will_do_and_donations_hold():
    x = jax.ShapeDtypeStruct((1000,), jnp.float32)
    plain = compile_ahead(lambda x: x + 1, x)
    donated = compile_ahead(jax.jit(lambda x: x + 1, donate_argnums=0), x)
    assert plain.memory_bytes - donated.memory_bytes == 4000


def test_processor_names_cores():
    assert processor().endswith(f"{len(os.sched_getaffinity(0))} cores")
    assert len(processor()) > len("2 cores")
