"""Recurrent layers against PyTorch and Keras, and what padding, masks and carries must not do."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jaxnets import ops
from jaxnets.errors import UnknownNameError
from jaxnets.ops import RecurrentWeights
from jaxnets.pretrained import recurrent_from

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "sequences.npz")
CASES = json.loads(str(GOLDEN["cases"]))
# Two layers in both directions, padded, hold what one layer in one direction would.
RECURRENT = [i for i, case in enumerate(CASES) if "cell" in case and case.get("layers") != 1]
TORCH = [i for i in RECURRENT if CASES[i]["library"] == "torch"]


def case_id(i):
    case = CASES[i]
    stack = f"_{case['layers']}layers" if case.get("layers", 1) > 1 else ""
    return f"{case['library']}_{case['cell']}{stack}"


def read(i):
    return {k.split("/", 1)[1]: GOLDEN[k] for k in GOLDEN.files if k.startswith(f"{i}/")}


def one(source, cell, arrays, suffix=""):
    names = {"torch": ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}.get(
        source, ("kernel", "recurrent_kernel", "bias")
    )
    return {name: arrays[name + suffix] for name in names}


def stack_of(case, arrays):
    """The layers' weights in our order; the same function takes gradients over to it."""
    if case["library"] == "keras":
        return [recurrent_from("keras", case["cell"], one("keras", case["cell"], arrays))]
    stack = []
    for layer in range(case["layers"]):
        both = [
            recurrent_from("torch", case["cell"], one("torch", case["cell"], arrays, suffix))
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: 1 + case["bidirectional"]]
        ]
        stack.append(tuple(both) if case["bidirectional"] else both[0])
    return stack


def carries_of(case, h, c):
    """PyTorch's (layers · directions, B, h) as ours, layer by layer."""
    if case["library"] == "keras":
        return [tuple(state for state in (h, c) if state is not None)]
    states = [(h[i],) if c is None else (h[i], c[i]) for i in range(len(h))]
    return list(zip(states[::2], states[1::2], strict=True)) if case["bidirectional"] else states


@pytest.mark.parametrize(
    ("i", "dtype"),
    [*((i, "float64") for i in RECURRENT), *((i, "float32") for i in TORCH)],
    ids=lambda value: value if isinstance(value, str) else case_id(value),
)
def test_outputs_and_gradients_are_the_librarys(i, dtype, x64):
    case, arrays = CASES[i], read(i)
    arrays = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in arrays.items()}
    stack = jax.tree.map(jnp.asarray, stack_of(case, arrays))
    start = None
    if "h0" in arrays:
        start = jax.tree.map(jnp.asarray, carries_of(case, arrays["h0"], arrays.get("c0")))
    mask = None
    if "lengths" in arrays:
        mask = ops.length_mask(jnp.asarray(arrays["lengths"]), arrays["x"].shape[1])

    @jax.jit
    def both(x, stack, start):
        result, pull = jax.vjp(
            lambda *a: ops.recurrent_stack(case["cell"], *a, mask=mask), x, stack, start
        )
        end = carries_of(case, arrays["g_hn"], arrays.get("g_cn"))
        cotangent = jnp.asarray(arrays["g_y"]), tuple(jax.tree.map(jnp.asarray, end))
        return result, pull(cotangent)

    result, gradients = both(jnp.asarray(arrays["x"]), stack, start)
    # float64 is rounding alone; in float32 sums of five steps round a few times. Keras' GRU rounds
    # to float32 on its way: in float64 it is 4e-8 off its own formula.
    exact = dtype == "float64" and case_id(i) not in ("keras_gru", "keras_gru_reset_before")
    within = {"rtol": 0, "atol": 1e-12 if exact else 1e-6}
    close = partial(np.testing.assert_allclose, **within)
    close(result[0], arrays["y"])
    jax.tree.map(close, result[1], tuple(carries_of(case, arrays["hn"], arrays.get("cn"))))
    # Gradients are sums of many terms of size 1 to 10: their size counts, not each entry's.
    size = max(np.abs(v).max() for k, v in arrays.items() if k.startswith("d_"))
    close = partial(np.testing.assert_allclose, rtol=0, atol=within["atol"] * max(1.0, size))
    close(gradients[0], arrays["d_x"])
    if start is not None:
        wanted = carries_of(case, arrays["d_h0"], arrays.get("d_c0"))
        jax.tree.map(close, gradients[2], wanted)
    theirs = {k.removeprefix("d_"): v for k, v in arrays.items() if k.startswith("d_")}
    # A bias that is the sum of two has the gradient of either.
    for name in theirs:
        if name.startswith("bias_hh"):
            theirs[name] = theirs[name].copy()
            kept = 2 * theirs[name].size // 3 if case["cell"] == "gru" else theirs[name].size
            theirs[name][:kept] = 0
    if case["library"] == "keras" and theirs["bias"].ndim == 2:
        theirs["bias"] = theirs["bias"].copy()
        theirs["bias"][1, : 2 * theirs["bias"].shape[1] // 3] = 0
    jax.tree.map(close, gradients[1], stack_of(case, theirs))


def weights(cell, d=3, h=4, seed=0, dtype=np.float64):
    random = np.random.default_rng(seed)
    wide = ops.RECURRENT_CELLS[cell].gates * h
    own = random.standard_normal(h) if cell == "gru" else None
    made = (random.standard_normal(s) for s in ((d, wide), (h, wide), (wide,)))
    made = RecurrentWeights(*made, own)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf.astype(dtype)), made)


def sequences(batch=2, time=5, features=3, seed=1, dtype=np.float64):
    return jnp.asarray(
        np.random.default_rng(seed).standard_normal((batch, time, features)).astype(dtype)
    )


def formula(cell, x, w, h, c):
    """One step in NumPy, from the papers' formulas."""
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    W, U, b = (np.split(np.asarray(a), ops.RECURRENT_CELLS[cell].gates, -1) for a in w[:3])
    if cell == "mgu":
        f = sigmoid(x @ W[0] + h @ U[0] + b[0])
        n = np.tanh(x @ W[1] + (f * h) @ U[1] + b[1])
        return (1 - f) * h + f * n, None
    if cell == "lstm":
        i, f, g, o = (x @ W[k] + h @ U[k] + b[k] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if cell.startswith("rnn"):
        a = x @ W[0] + h @ U[0] + b[0]
        function = {"rnn": np.tanh, "rnn_relu": lambda a: np.maximum(a, 0)}
        return function.get(cell, lambda a: a)(a), None
    r, z = (sigmoid(x @ W[k] + h @ U[k] + b[k]) for k in range(2))
    if cell == "gru":
        inner = r * (h @ U[2] + np.asarray(w.recurrent_bias))
    else:
        inner = (r * h) @ U[2]
    return (1 - z) * np.tanh(x @ W[2] + b[2] + inner) + z * h, None


every_cell = pytest.mark.parametrize("cell", ops.RECURRENT_CELLS)


@every_cell
def test_a_layer_is_the_papers_formula_and_the_same_step_by_step(cell, x64):
    w, x = weights(cell), sequences()
    outputs, carry = jax.jit(partial(ops.recurrent, cell))(x, w)
    h = c = np.zeros((2, 4))
    step, state = jax.jit(partial(ops.recurrent_step, cell)), None
    for t in range(x.shape[1]):
        h, c = formula(cell, np.asarray(x[:, t]), w, h, c)
        y, state = step(x[:, t], w, state)
        np.testing.assert_allclose(outputs[:, t], h, atol=1e-12)
        np.testing.assert_allclose(y, h, atol=1e-12)
    np.testing.assert_allclose(carry[0], h, atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_reset_before", "mgu"])
def test_own_derivatives_are_those_of_a_plain_loop(cell, x64):
    """Forward, reverse, of one cell second: the layer against steps that JAX differentiates."""
    w, x = weights(cell), sequences(time=2)
    direction = jax.tree.map(lambda leaf: jnp.cos(leaf * 7), (x, w))

    def by_loop(x, w):
        carry, total = None, 0.0
        for t in range(x.shape[1]):
            y, carry = ops.recurrent_step(cell, x[:, t], w, carry)
            total = total + jnp.sin(y).sum()
        return total

    def by_layer(x, w):
        return jnp.sin(ops.recurrent(cell, x, w)[0]).sum()

    @partial(jax.jit, static_argnums=0)
    def derivatives(function, *at):
        forward = jax.jvp(function, at, direction)
        if cell == "lstm":
            return forward, jax.jvp(jax.grad(function, (0, 1)), at, direction)
        return forward, jax.grad(function, (0, 1))(*at)

    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10),
        derivatives(by_layer, x, w),
        derivatives(by_loop, x, w),
    )


@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before"])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_amount_and_kind_of_padding_changes_nothing(cell, reverse, x64):
    w, x, lengths = weights(cell), sequences(), np.array([3, 5])

    @partial(jax.jit, static_argnums=1)
    def run(x, size):
        mask = ops.length_mask(jnp.asarray(lengths), size)

        def loss(x, w):
            y, carry = ops.recurrent(cell, x, w, mask=mask, reverse=reverse)
            return jnp.sin(y).sum() + jnp.cos(carry[0]).sum(), (y, carry)

        return jax.grad(loss, (0, 1), has_aux=True)(x, w)

    # A sum of more terms, all of them 0, may be formed in another order: rounding.
    equal = partial(np.testing.assert_allclose, rtol=1e-13, atol=1e-14)
    short = run(x, 5)
    more = jnp.pad(x, ((0, 0), (0, 4), (0, 0)), constant_values=jnp.nan)
    long = run(more.at[0, 3:].set(jnp.inf), 9)
    jax.tree.map(equal, short[0][1], long[0][1])
    equal(short[0][0], long[0][0][:, :5])
    np.testing.assert_array_equal(long[0][0][:, 5:], 0)
    np.testing.assert_array_equal(long[0][0][0, 3:], 0)
    np.testing.assert_array_equal(short[1][0], long[1][0][:, :5])
    jax.tree.map(np.testing.assert_array_equal, short[1][1], long[1][1])
    # Alone and without padding it is the same sequence.
    y, carry = ops.recurrent(cell, x[:1, :3], w, reverse=reverse)
    np.testing.assert_allclose(short[1][0][:1, :3], y, atol=1e-13)
    np.testing.assert_allclose(short[1][1][0][:1], carry[0], atol=1e-13)


def test_a_sequence_without_steps_keeps_its_carry(x64):
    w, x = weights("lstm"), sequences()
    start = jnp.full((2, 4), 0.3), jnp.full((2, 4), -0.2)
    mask = jnp.array([[False] * 5, [True] * 5])
    y, carry = ops.recurrent("lstm", x, w, start, mask=mask)
    assert (y[0] == 0).all() and (carry[0][0] == 0.3).all() and (carry[1][0] == -0.2).all()
    gradient = jax.grad(lambda x: ops.recurrent("lstm", x, w, start, mask=mask)[0].sum())(x)
    assert (gradient[0] == 0).all() and (gradient[1] != 0).all()


def test_a_carry_goes_on_where_it_ended(x64):
    w, x = weights("lstm"), sequences()
    whole, end = ops.recurrent("lstm", x, w)
    first, carry = ops.recurrent("lstm", x[:, :2], w)
    second, last = ops.recurrent("lstm", x[:, 2:], w, carry)
    np.testing.assert_allclose(jnp.concatenate((first, second), 1), whole, atol=1e-13)
    np.testing.assert_allclose(last, end, atol=1e-13)


def test_reset_before_and_after_differ(x64):
    w, x = weights("gru_reset_before"), sequences()
    before = ops.recurrent("gru_reset_before", x, w)[0]
    after = ops.recurrent("gru", x, w)[0]
    assert jnp.abs(before - after).max() > 0.05


def test_each_weight_has_one_product_in_the_backward_pass():
    """No product of the backward scan's body has the shape of a weight."""
    w, x = weights("lstm", d=3, h=5, dtype=np.float32), sequences(dtype=np.float32, time=7)
    gradient = jax.grad(lambda w: ops.recurrent("lstm", x, w)[0].sum())
    found = {"inside": [], "outside": []}

    def walk(jaxpr, place):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                found[place].append(equation.outvars[0].aval.shape)
            inner = "inside" if equation.primitive.name == "scan" else place
            for sub in jaxprs_in_params(equation.params):
                walk(getattr(sub, "jaxpr", sub), inner)

    walk(jax.make_jaxpr(gradient)(w).jaxpr, "outside")
    transposed = lambda shapes, s: sum(t in (s, s[::-1]) for t in shapes)  # noqa: E731
    for shape in ((3, 20), (5, 20)):
        assert transposed(found["inside"], shape) == 0
        assert transposed(found["outside"], shape) == 1
    assert found["inside"]


SENTENCES = {
    "length 0": (lambda x, w: ops.recurrent("lstm", x[:, :0], w), "sequences of length 0"),
    "ragged": (lambda x, w: ops.recurrent("lstm", [[1.0], [1.0, 2.0]], w), "got a list"),
    "two axes": (lambda x, w: ops.recurrent("lstm", x[0], w), "batch, time, features"),
    "tokens": (lambda x, w: ops.recurrent("lstm", x.astype(int), w), "embed tokens"),
    "features": (lambda x, w: ops.recurrent("lstm", x[..., :2], w), "weights.input"),
    "gates": (lambda x, w: ops.recurrent("gru", x, w), "3 gates"),
    "mask": (lambda x, w: ops.recurrent("lstm", x, w, mask=jnp.ones((2, 5))), "booleans"),
    "mask shape": (
        lambda x, w: ops.recurrent("lstm", x, w, mask=jnp.ones((5, 2), bool)),
        r"expected booleans \(2, 5\)",
    ),
    "carry": (lambda x, w: ops.recurrent("lstm", x, w, (jnp.zeros((2, 4)),)), "carry: got"),
    "own bias": (
        lambda x, w: ops.recurrent("lstm", x, w._replace(recurrent_bias=w.bias)),
        "only a 'gru'",
    ),
    "no layers": (lambda x, w: ops.recurrent_stack("lstm", x, []), "at least one"),
    "lengths": (lambda x, w: ops.length_mask(jnp.array([2, 6]), 5), "2 to 6; expected 0 to 5"),
    "float lengths": (lambda x, w: ops.length_mask(jnp.array([2.0]), 5), "expected integers"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_bad_input_is_said_in_a_sentence(name):
    call, sentence = SENTENCES[name]
    x, w = sequences(dtype=np.float32), weights("lstm", dtype=np.float32)
    with pytest.raises(ValueError, match=sentence):
        call(x, w)


def test_an_unknown_cell_leads_to_the_one_meant():
    with pytest.raises(UnknownNameError, match="Did you mean 'lstm'"):
        ops.recurrent("lstn", sequences(), weights("lstm"))
