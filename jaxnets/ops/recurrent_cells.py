"""Recurrent cells: one step of each, and what one step does to a small change of its inputs.

All gates of a cell are columns of one matrix, in the order given in its class. A cell says

* `step`: (inputs' product, carry) → new carry, and the activations worth keeping;
* `slopes`: derivatives of a step that depend on the activations alone, for all steps at once;
* `drive`: what changes of the inputs and weights add to the gates, for all steps at once, so that
  each weight takes part in one matrix product and not in one for each step;
* `tangent`: how a change of the carry goes through one step. It is linear, so that JAX makes the
  backward pass of it, which carries the gradient and nothing else.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.dense import matrix_product

Carry = tuple[jax.Array, ...]
Saved = tuple[jax.Array, ...]


class Cell(NamedTuple):
    """A kind of recurrent cell.

    Attributes:
        gates: columns of the weights, in units of the state's size.
        states: arrays of the carry; the first is the output.
        step: (projected, carry, recurrent, recurrent_bias) → (carry, saved).
        slopes: (saved, carry before) → slopes.
        drive: (d_projected, d_recurrent, d_recurrent_bias, saved, carry before) → drive.
        tangent: (slopes, drive, d_carry, recurrent) → d_carry.
        recurrent_bias: whether the cell takes a bias inside its reset gate.
    """

    gates: int
    states: int
    step: Any
    slopes: Any
    drive: Any
    tangent: Any
    recurrent_bias: bool = False


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x · kernel in the kernel's dtype, the result in that of ``x`` (float32 or wider).

    >>> product(jnp.ones((2, 3)), jnp.ones((3, 1), jnp.bfloat16)).dtype
    dtype('float32')
    """
    return matrix_product(x.astype(kernel.dtype), kernel).astype(x.dtype)


def columns(x: jax.Array, gates: int) -> list[jax.Array]:
    """The last axis in equal parts, one for each gate.

    >>> [part.tolist() for part in columns(jnp.arange(4), 2)]
    [[0, 1], [2, 3]]
    """
    return jnp.split(x, gates, -1)


def squash(x: jax.Array, sigmoids: tuple[bool, ...]) -> jax.Array:
    """σ or tanh of equally wide gates side by side: one tanh for all, as σ(x) = (1 + tanh(x/2))/2.

    XLA runs one loop over all columns on all cores; a loop for each gate and for what follows it
    took a third of the time of a step of 64 × 512 units. Gates below 1e-7 come out as 0.

    >>> [round(float(y), 4) for y in squash(jnp.array([0.0, -100, 0.5]), (True, True, False))]
    [0.5, 0.0, 0.4621]
    """
    width = x.shape[-1] // len(sigmoids)
    scale = np.repeat([0.5 if one else 1.0 for one in sigmoids], width).astype(x.dtype)
    shape = (1,) * (x.ndim - 1) + scale.shape
    scale = scale.reshape(shape)
    return jnp.tanh(x * scale) * scale + np.where(scale == 1, 0, scale).astype(x.dtype)


def plain_drive(d_projected, d_recurrent, d_recurrent_bias, saved: Saved, before: Carry):
    """dx·W + x·dW comes in as ``d_projected``; the recurrent weights add h·dU, in one product."""
    return d_projected + product(before[0], d_recurrent)


def rnn(activation: str) -> Cell:
    """h' = φ(x W + h U + b)."""

    def step(projected, carry, recurrent, recurrent_bias):
        h = projected + product(carry[0], recurrent)
        if activation == "tanh":
            h = jnp.tanh(h)
        elif activation == "relu":
            h = jnp.maximum(h, jnp.zeros_like(h))
        return (h,), (h,)

    def slopes(saved, before):
        (h,) = saved
        if activation == "tanh":
            return (1 - h * h,)
        return ((h > 0).astype(h.dtype) if activation == "relu" else jnp.ones_like(h),)

    def tangent(slopes, drive, d_carry, recurrent):
        return (slopes[0] * (drive + product(d_carry[0], recurrent)),)

    return Cell(1, 1, step, slopes, plain_drive, tangent)


def lstm() -> Cell:
    """c' = f ∘ c + i ∘ g, h' = o ∘ tanh(c'); gates i, f, g, o."""

    def step(projected, carry, recurrent, recurrent_bias):
        gates = squash(projected + product(carry[0], recurrent), (True, True, False, True))
        i, f, g, o = columns(gates, 4)
        c = f * carry[1] + i * g
        t = jnp.tanh(c)
        return (o * t, c), (gates, t)

    def slopes(saved, before):
        (i, f, g, o), t = columns(saved[0], 4), saved[1]
        gates = (g * i * (1 - i), before[1] * f * (1 - f), i * (1 - g * g), t * o * (1 - o))
        return jnp.concatenate(gates, -1), f, o * (1 - t * t)

    def tangent(slopes, drive, d_carry, recurrent):
        gates, f, through = slopes
        i, into_f, g, o = columns(gates * (drive + product(d_carry[0], recurrent)), 4)
        dc = f * d_carry[1] + i + into_f + g
        return o + through * dc, dc

    return Cell(4, 2, step, slopes, plain_drive, tangent)


def gru_reset_after() -> Cell:
    """n = tanh(x W_n + b_n + r ∘ (h U_n + b)), h' = (1 − z) ∘ n + z ∘ h; gates r, z, n."""

    def step(projected, carry, recurrent, recurrent_bias):
        (h,) = carry
        both, inner = 2 * h.shape[-1], product(h, recurrent)
        r, z = columns(squash(projected[..., :both] + inner[..., :both], (True, True)), 2)
        h_n = inner[..., both:]
        if recurrent_bias is not None:
            h_n = h_n + recurrent_bias[None].astype(h_n.dtype)
        n = jnp.tanh(projected[..., both:] + r * h_n)
        return (n + z * (h - n),), (r, z, n, h_n)

    def slopes(saved, before):
        r, z, n, h_n = saved
        into_n = (1 - z) * (1 - n * n)
        return r, z, h_n * r * (1 - r), (before[0] - n) * z * (1 - z), into_n

    def drive(d_projected, d_recurrent, d_recurrent_bias, saved, before):
        x_r, x_z, x_n = columns(d_projected, 3)
        h_r, h_z, h_n = columns(product(before[0], d_recurrent), 3)
        if d_recurrent_bias is not None:
            h_n = h_n + d_recurrent_bias[None, None].astype(h_n.dtype)
        return jnp.concatenate((x_r + h_r, x_z + h_z, x_n + saved[0] * h_n), -1)

    def tangent(slopes, drive, d_carry, recurrent):
        r, z, into_r, into_z, into_n = slopes
        d_r, d_z, d_n = columns(drive, 3)
        h_r, h_z, h_n = columns(product(d_carry[0], recurrent), 3)
        n = into_n * (d_n + r * h_n + into_r * (d_r + h_r))
        return (z * d_carry[0] + into_z * (d_z + h_z) + n,)

    return Cell(3, 1, step, slopes, drive, tangent, recurrent_bias=True)


def gru_reset_before() -> Cell:
    """n = tanh(x W_n + b_n + (r ∘ h) U_n), h' = (1 − z) ∘ n + z ∘ h; gates r, z, n."""

    def step(projected, carry, recurrent, recurrent_bias):
        (h,) = carry
        size = h.shape[-1]
        gates, x_n = projected[..., : 2 * size], projected[..., 2 * size :]
        r, z = columns(squash(gates + product(h, recurrent[:, : 2 * size]), (True, True)), 2)
        n = jnp.tanh(x_n + product(r * h, recurrent[:, 2 * size :]))
        return (n + z * (h - n),), (r, z, n)

    def slopes(saved, before):
        r, z, n = saved
        (h,) = before
        return r, z, h * r * (1 - r), (h - n) * z * (1 - z), (1 - z) * (1 - n * n)

    def tangent(slopes, drive, d_carry, recurrent):
        r, z, into_r, into_z, into_n = slopes
        size = r.shape[-1]
        d_r, d_z, d_n = columns(drive, 3)
        h_r, h_z = columns(product(d_carry[0], recurrent[:, : 2 * size]), 2)
        reset = r * d_carry[0] + into_r * (d_r + h_r)
        n = into_n * (d_n + product(reset, recurrent[:, 2 * size :]))
        return (z * d_carry[0] + into_z * (d_z + h_z) + n,)

    return Cell(3, 1, step, slopes, _gated_drive(2), tangent)


def mgu() -> Cell:
    """n = tanh(x W_n + b_n + (f ∘ h) U_n), h' = (1 − f) ∘ h + f ∘ n; gates f, n."""

    def step(projected, carry, recurrent, recurrent_bias):
        (h,) = carry
        size = h.shape[-1]
        f = squash(projected[..., :size] + product(h, recurrent[:, :size]), (True,))
        n = jnp.tanh(projected[..., size:] + product(f * h, recurrent[:, size:]))
        return (h + f * (n - h),), (f, n)

    def slopes(saved, before):
        f, n = saved
        (h,) = before
        slope = f * (1 - f)
        return f, slope * h, slope * (n - h), f * (1 - n * n)

    def tangent(slopes, drive, d_carry, recurrent):
        f, into_reset, into_h, into_n = slopes
        size = f.shape[-1]
        d_f, d_n = columns(drive, 2)
        gate = d_f + product(d_carry[0], recurrent[:, :size])
        reset = f * d_carry[0] + into_reset * gate
        n = into_n * (d_n + product(reset, recurrent[:, size:]))
        return (d_carry[0] - f * d_carry[0] + into_h * gate + n,)

    return Cell(2, 1, step, slopes, _gated_drive(1), tangent)


def _gated_drive(gates: int):
    """The candidate's weights meet the state behind its first gate, the gates' the state itself."""

    def drive(d_projected, d_recurrent, d_recurrent_bias, saved, before):
        (h,) = before
        size = h.shape[-1] * gates
        return d_projected + jnp.concatenate(
            (product(h, d_recurrent[:, :size]), product(saved[0] * h, d_recurrent[:, size:])), -1
        )

    return drive


RECURRENT_CELLS = {
    "rnn": rnn("tanh"),
    "rnn_relu": rnn("relu"),
    "rnn_linear": rnn("linear"),
    "lstm": lstm(),
    "gru": gru_reset_after(),
    "gru_reset_before": gru_reset_before(),
    "mgu": mgu(),
}
