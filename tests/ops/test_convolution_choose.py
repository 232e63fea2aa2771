"""`auto` runs what its table says, with the gradients of the same table."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops import conv
from jaxnets.ops.convolution import onednn_support
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.problem import make_problem


def test_auto_runs_what_it_chose_in_either_direction():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((4, 40, 40, 32)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 1, 32)), jnp.float32)
    chosen = choose(make_problem(x, kernel, padding=1, groups=32), x.dtype, "cpu").forward
    assert chosen == ("onednn" if onednn_support.available() else "shift")

    def loss(x, kernel, algorithm):
        return jnp.sum(conv(x, kernel, padding=1, groups=32, algorithm=algorithm) ** 2)

    got = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)(x, kernel, "auto")
    want = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)(x, kernel, "direct")
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())
    text = str(jax.make_jaxpr(jax.grad(loss), static_argnums=2)(x, kernel, "auto"))
    assert "jaxnets_conv_input_gradient" in text and "conv_general_dilated" not in text


def test_kernel_gradients_of_large_windows_with_few_outputs_stay_direct(monkeypatch):
    """Columns of a 5×5 window of stride 1 are 25 times the image: with six outputs (LeNet-5) laying
    them out takes longer than the whole direct convolution, with 192 (NiN) a quarter of it."""
    monkeypatch.setenv(onednn_support.SWITCH, "0")
    x = jax.ShapeDtypeStruct((64, 32, 32, 3), jnp.float32)

    def plan(outputs, **options):
        kernel = jax.ShapeDtypeStruct((5, 5, 3, outputs), jnp.float32)
        return choose(make_problem(x, kernel, **options), x.dtype, "cpu").kernel_gradient

    assert plan(6) == "direct" and plan(192) == "im2col"
    assert plan(6, strides=2) == "im2col"
