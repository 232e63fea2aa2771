"""Other libraries' recurrent and attention weights in our modules, and back."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn, ops
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.ops import RecurrentWeights
from jaxnets.pretrained import (
    attention_params_from_torch,
    recurrent_from,
    recurrent_params_from_torch,
    recurrent_to,
)
from jaxnets.pretrained.recurrent_layouts import MADE_BY

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "sequences.npz")
CASES = json.loads(str(GOLDEN["cases"]))


def read(**wanted):
    (i,) = (i for i, c in enumerate(CASES) if wanted.items() <= c.items())
    return {k.split("/", 1)[1]: GOLDEN[k] for k in GOLDEN.files if k.startswith(f"{i}/")}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_module_with_pytorchs_weights_gives_its_outputs(cell):
    a = read(library="torch", cell=cell, layers=2)
    state_dict = {f"rnn.{k}": v.astype(np.float32) for k, v in a.items() if "_l" in k[:12]}
    state_dict = {k: v for k, v in state_dict.items() if not k.startswith("rnn.d_")}
    module = nn.Recurrent(4, cell, layers=2, bidirectional=True, recurrent_bias=cell == "gru")
    params = recurrent_params_from_torch(cell, state_dict, prefix="rnn.")
    x, mask = a["x"].astype(np.float32), ops.length_mask(a["lengths"], a["x"].shape[1])
    shapes = jax.eval_shape(module.init, jax.random.PRNGKey(0), x)["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
    states = a["h0"], a.get("c0")
    states = [s.astype(np.float32) for s in states if s is not None]
    flat = [tuple(jnp.asarray(s[i]) for s in states) for i in range(4)]
    carry = [tuple(flat[:2]), tuple(flat[2:])]
    y, _ = jax.jit(module.apply)({"params": params}, x, carry, mask=mask)
    np.testing.assert_allclose(y, a["y"], rtol=0, atol=1e-6)  # float32's rounding


def test_multi_head_attention_with_pytorchs_weights_gives_its_outputs_and_gradients(x64):
    a = read(op="multi_head")
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    params = attention_params_from_torch({name: a[name] for name in names})
    module = nn.MultiHeadAttention(3, param_dtype=jnp.float64)
    mask = jnp.asarray(a["mask"])[:, None]

    def apply(params, q, kv):
        return module.apply({"params": params}, q, kv, mask=mask)

    (y, weights), pull = jax.vjp(jax.jit(apply), params, a["q"], a["kv"])
    np.testing.assert_allclose(y, a["y"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(weights, a["weights"], rtol=0, atol=1e-13)
    found, d_q, d_kv = pull((jnp.asarray(a["g_y"]), jnp.asarray(a["g_weights"])))
    expected = attention_params_from_torch({name: a[f"d_{name}"] for name in names})
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)  # noqa: E731
    jax.tree.map(close, found, {name: expected[name] for name in found})
    close(d_q, a["d_q"])
    close(d_kv, a["d_kv"])


def draw(cell, d=2, h=3):
    random = np.random.default_rng(0)
    wide = ops.RECURRENT_CELLS[cell].gates * h
    inside = random.standard_normal(h) if cell == "gru" else None
    return RecurrentWeights(
        *(random.standard_normal(s) for s in ((d, wide), (h, wide), wide)), inside
    )


@pytest.mark.parametrize(
    ("source", "cell"), [(source, cell) for source, cells in MADE_BY.items() for cell in cells]
)
def test_there_and_back_is_the_same(source, cell):
    ours = draw(cell)
    back = recurrent_from(source, cell, recurrent_to(source, cell, ours))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-15), back, ours)


def test_tensorflows_lstm_is_its_formula(x64):
    """BasicLSTMCell: i, j, f, o = split([x, h] · kernel + bias), f with 1 added."""
    random = np.random.default_rng(0)
    kernel, bias = random.standard_normal((5, 12)), random.standard_normal(12)
    x, h, c = random.standard_normal((1, 2)), random.standard_normal((1, 3)), np.ones((1, 3))
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    i, j, f, o = np.split(np.concatenate((x, h), 1) @ kernel + bias, 4, 1)
    new_c = c * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
    ours = recurrent_from("tensorflow", "lstm", {"kernel": kernel, "bias": bias}, inputs=2)
    y, carry = ops.recurrent_step(
        "lstm", jnp.asarray(x), jax.tree.map(jnp.asarray, ours), (jnp.asarray(h), jnp.asarray(c))
    )
    np.testing.assert_allclose(carry[1], new_c, rtol=1e-13)
    np.testing.assert_allclose(y, np.tanh(new_c) * sigmoid(o), rtol=1e-13)


def test_tensorflows_gru_is_its_formula(x64):
    """GRUCell: r, u = split(σ([x, h] · gates)), c = tanh([x, r h] · candidate), u h + (1 − u) c."""
    random = np.random.default_rng(0)
    a = {
        k: random.standard_normal(s)
        for k, s in {
            "gates/kernel": (5, 6),
            "gates/bias": 6,
            "candidate/kernel": (5, 3),
            "candidate/bias": 3,
        }.items()
    }
    x, h = random.standard_normal((1, 2)), random.standard_normal((1, 3))
    gates = np.concatenate((x, h), 1) @ a["gates/kernel"] + a["gates/bias"]
    r, u = np.split(1 / (1 + np.exp(-gates)), 2, 1)
    inner = np.concatenate((x, r * h), 1) @ a["candidate/kernel"] + a["candidate/bias"]
    ours = jax.tree.map(jnp.asarray, recurrent_from("tensorflow", "gru_reset_before", a))
    y, _ = ops.recurrent_step("gru_reset_before", jnp.asarray(x), ours, (jnp.asarray(h),))
    np.testing.assert_allclose(y, u * h + (1 - u) * np.tanh(inner), rtol=1e-13)


SENTENCES = {
    "source": (lambda: recurrent_from("kears", "lstm", {}), "Did you mean 'keras'"),
    "cell": (lambda: recurrent_from("torch", "mgu", {}), "torch has no 'mgu'"),
    "names": (lambda: recurrent_from("keras", "lstm", {"w": np.ones(2)}), "expected .'kernel'"),
    "shape": (
        lambda: recurrent_from(
            "keras", "lstm", {"kernel": np.ones((2, 9)), "recurrent_kernel": np.ones((3, 9))}
        ),
        "not those of 4 gates",
    ),
    "bias": (
        lambda: recurrent_from(
            "keras",
            "rnn",
            {"kernel": np.ones((2, 3)), "recurrent_kernel": np.ones((3, 3)), "bias": np.ones(4)},
        ),
        r"bias of a 'rnn' from keras: got shapes \[\(4,\)\]",
    ),
    "joined": (
        lambda: recurrent_from(
            "tensorflow", "lstm", {"kernel": np.ones((5, 12)), "bias": np.ones(12)}, inputs=4
        ),
        "got shape .5, 12. with a bias of 12",
    ),
    "none": (lambda: recurrent_params_from_torch("gru", {"a": np.ones(2)}), "no name like"),
    "attention": (lambda: attention_params_from_torch({"a": np.ones(2)}), "no in_proj_weight"),
    "extra keys": (lambda: attention_params_from_torch({"bias_k": np.ones(2)}), "have no place"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_does_not_fit_is_said_in_a_sentence(name):
    call, sentence = SENTENCES[name]
    with pytest.raises((JaxnetsError, UnknownNameError), match=sentence):
        call()
