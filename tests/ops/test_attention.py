"""Attention against PyTorch and Keras, in blocks, under masks, and what order means to it."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ops

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "sequences.npz")
CASES = json.loads(str(GOLDEN["cases"]))


def read(op, **options):
    (i,) = (i for i, c in enumerate(CASES) if c == {"op": op, **options})
    found = {k.split("/", 1)[1]: GOLDEN[k] for k in GOLDEN.files if k.startswith(f"{i}/")}
    return {k: jnp.asarray(v) for k, v in found.items()}


def draw(*shapes, seed=0):
    random = np.random.default_rng(seed)
    return [jnp.asarray(random.standard_normal(shape)) for shape in shapes]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block_size", [None, 3])
def test_dot_product_is_pytorchs(causal, block_size, x64):
    a = read("dot_product", causal=causal)
    function = partial(ops.attend, causal=causal, block_size=block_size)
    y, pull = jax.vjp(jax.jit(lambda *qkv: function(*qkv)[0]), a["q"], a["k"], a["v"])
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-13)
    close(y, a["y"])
    jax.tree.map(close, pull(a["g_y"]), tuple(a[f"d_{n}"] for n in "qkv"))


def test_additive_scores_are_keras(x64):
    a = read("additive")

    def attend(q, v, energy):
        return ops.attend(q, v, v, scores=partial(ops.additive_scores, energy=energy))[0]

    y, pull = jax.vjp(attend, a["q"], a["v"], a["energy"])
    # Keras rounds to float32 on its way; the formula in NumPy does not.
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-6)
    close(y, a["y"])
    jax.tree.map(close, pull(a["g_y"]), tuple(a[f"d_{n}"] for n in ("q", "v", "energy")))
    q, v = np.asarray(a["q"]), np.asarray(a["v"])
    scores = np.exp(np.tanh(q[:, :, None] + v[:, None]) @ np.asarray(a["energy"]))
    np.testing.assert_allclose(y, scores / scores.sum(-1, keepdims=True) @ v, atol=1e-14)


def test_multiplicative_scores_are_the_formula(x64):
    q, k, w = draw((2, 3, 4), (2, 5, 6), (4, 6))
    expected = np.einsum("bqi,ij,bkj->bqk", q, w, k)
    np.testing.assert_allclose(ops.multiplicative_scores(q, k, w), expected, atol=1e-13)


def test_blocks_change_nothing_under_a_mask_nor_do_their_gradients(x64):
    """With scores that have parameters, rows that see nothing, and a last, short block."""
    q, k, v, energy = draw((2, 5, 3), (2, 7, 3), (2, 7, 4), (3,))
    mask = np.random.default_rng(1).random((2, 5, 7)) < 0.4
    mask[0, 2] = False

    def loss(q, k, v, energy, block_size):
        scores = partial(ops.additive_scores, energy=energy)
        y, _ = ops.attend(q, k, v, scores=scores, mask=jnp.asarray(mask), block_size=block_size)
        return jnp.sin(y).sum()

    both = jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3)), static_argnums=4)
    expected, found = (both(q, k, v, energy, size) for size in (None, 2))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13), found, expected)


@pytest.mark.parametrize("block_size", [None, 2])
def test_a_query_that_sees_nothing_has_context_0_and_finite_gradients(block_size):
    q, k, v = (x.astype(jnp.float32) for x in draw((2, 3), (4, 3), (4, 2)))
    mask = jnp.array([[False] * 4, [True, False, False, True]])

    def loss(q, k, v):
        y, _ = ops.attend(q, k, v, mask=mask, block_size=block_size)
        return jnp.sin(y).sum() + y[0].sum(), y

    gradients, y = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(q * 1e3, k, v)
    assert (y[0] == 0).all() and (y[1] != 0).all()
    assert all(jnp.isfinite(g).all() for g in gradients)
    assert (gradients[0][0] == 0).all() and (gradients[2][1:3] == 0).all()


def test_memory_grows_with_the_length_not_its_square():
    """Bytes that the compiled gradient needs beside arguments and results."""

    def bytes_needed(length, block_size):
        x = jax.ShapeDtypeStruct((length, 8), jnp.float32)
        loss = jax.grad(lambda x: ops.attend(x, x, x, causal=True, block_size=block_size)[0].sum())
        return jax.jit(loss).lower(x).compile().memory_analysis().temp_size_in_bytes

    assert bytes_needed(2048, 64) < 4.5 * bytes_needed(512, 64)
    assert bytes_needed(2048, 64) < bytes_needed(2048, None) / 8


def test_self_attention_does_not_know_the_order_until_positions_tell_it(x64):
    (x,) = draw((1, 6, 4))
    order = np.array([3, 0, 5, 1, 4, 2])
    attend = lambda x: ops.attend(x, x, x)[0]  # noqa: E731
    np.testing.assert_allclose(attend(x[:, order]), attend(x)[:, order], atol=1e-14)
    place = ops.sinusoidal_positions(6, 4, dtype=x.dtype)[None]
    assert jnp.abs(attend(x[:, order] + place) - attend(x + place)[:, order]).max() > 0.05


def test_causal_attention_has_no_derivative_by_what_comes_later(x64):
    (x,) = draw((5, 3))
    jacobian = jax.jacobian(lambda x: ops.attend(x, x, x, causal=True)[0])(x)
    size = np.abs(jacobian).max((1, 3))
    assert (size[np.triu_indices(5, 1)] == 0).all()
    assert (size[np.tril_indices(5)] > 0).all()


def test_one_key_gives_its_value_and_weights_sum_to_1(x64):
    q, k, v = draw((2, 3, 4), (2, 5, 4), (2, 5, 2))
    np.testing.assert_allclose(ops.attend(q, k[:, :1], v[:, :1])[0], v[:, :1].repeat(3, 1))
    np.testing.assert_allclose(ops.attend(q, k, v)[1].sum(-1), 1, atol=1e-15)


def test_sinusoids_of_a_distance_are_a_rotation(x64):
    """PE(t + k) is a linear function of PE(t), the same for all t (Vaswani et al., §3.5)."""
    p = np.asarray(ops.sinusoidal_positions(50, 8, dtype=jnp.float64)).reshape(50, 4, 2)
    dot = (p[:-7] * p[7:]).sum(-1)
    # Angles are computed in float32, up to 49 with an error of 2e-6.
    np.testing.assert_allclose(dot, np.broadcast_to(dot[0], dot.shape), atol=1e-5)
    start = ops.sinusoidal_positions(3, 8, start=7)
    np.testing.assert_allclose(start, p[7:10].reshape(3, 8), atol=1e-6)


SENTENCES = {
    "no keys": (lambda q, k: ops.attend(q, k[:, :0], k[:, :0]), "length 0"),
    "list": (lambda q, k: ops.attend([[1.0], [2.0, 3.0]], k, k), "query: got a list"),
    "values": (lambda q, k: ops.attend(q, k, k[:, 1:]), "value: got 4 steps; expected 5"),
    "batch": (lambda q, k: ops.attend(q, k[:1], k[:1]), "the same axes"),
    "features": (lambda q, k: ops.attend(q, k[..., :2], k), "got 2 features; expected 3"),
    "mask dtype": (lambda q, k: ops.attend(q, k, k, mask=jnp.ones((2, 4, 5))), "expected booleans"),
    "mask shape": (
        lambda q, k: ops.attend(q, k, k, mask=jnp.ones((2, 5), bool)),
        r"broadcast to \(2, 4, 5\) on 3 axes",
    ),
    "causal": (lambda q, k: ops.attend(k, q, q, causal=True), "got 4 for 5 queries"),
    "causal blocks": (lambda q, k: ops.attend(k, q, q, causal=True, block_size=2), "4 steps for 5"),
    "block": (lambda q, k: ops.attend(q, k, k, block_size=0), "block_size: got 0"),
    "heads": (lambda q, k: ops.split_heads(q, 2), "a divisor of 3"),
    "odd": (lambda q, k: ops.sinusoidal_positions(4, 3), "an even number"),
    "kernel": (lambda q, k: ops.multiplicative_scores(q, k, jnp.ones((2, 3))), "kernel: got"),
    "energy": (lambda q, k: ops.additive_scores(q, k, jnp.ones(2)), "energy: got"),
    "softmax": (lambda q, k: ops.masked_softmax(q, jnp.ones((2, 4, 3))), "expected booleans"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_bad_input_is_said_in_a_sentence(name):
    call, sentence = SENTENCES[name]
    with pytest.raises(ValueError, match=sentence):
        call(jnp.ones((2, 4, 3)), jnp.ones((2, 5, 3)))
