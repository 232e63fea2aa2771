"""`auto` runs what its table says, with the gradients of the same table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


@pytest.mark.parametrize("called", [False, True])
def test_small_convolutions_by_groups_are_not_left_to_xla(called, monkeypatch):
    """SSDlite's depthwise windows on 20×20 and 10×10 took two thirds of its time: XLA's own take
    3.3 ms where others take 0.1, and the kernel's gradient of eight channels a group 30 ms."""
    monkeypatch.setattr(onednn_support, "available", lambda: called)

    def plan(side, channels, groups):
        x = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
        kernel = jax.ShapeDtypeStruct((3, 3, channels // groups, channels), jnp.float32)
        found = choose(make_problem(x, kernel, padding=1, groups=groups), x.dtype, "cpu")
        return {found.forward, found.input_gradient, found.kernel_gradient}

    # Of one and two axes; below AVX-512 those of some ranks are kept from oneDNN.
    ours = onednn_support.computes(jnp.float32) and not onednn_support.stands_still(240, 2)
    native = {"onednn"} if called and ours else None
    assert plan(20, 240, 240) == (native or {"shift"})
    assert plan(7, 256, 32) == (native or {"blocked"})
    # Too small to matter, or not by groups: what compiles fastest.
    assert plan(2, 32, 32) == {"direct"} and plan(4, 16, 1) == {"direct"}
