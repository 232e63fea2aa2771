"""Operations against values and gradients that PyTorch gave in float64 (golden/make_ops.py)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import losses, ops

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "ops.npz")
CASES = json.loads(str(GOLDEN["cases"]))


def batch_norm_result(x, scale, bias, mean, var, train):
    if train:
        return ops.batch_norm(x, scale, bias)[0]
    return ops.batch_norm_inference(x, mean, var, scale, bias)


def function_of(op, options):
    if op == "batch_norm":
        return lambda **arrays: batch_norm_result(**arrays, **options)
    function = getattr(losses if op == "cross_entropy" else ops, op)
    return lambda **arrays: function(*arrays.values(), **options)


def case_id(i):
    options = ",".join(f"{k}={v}" for k, v in CASES[i]["options"].items())
    return f"{CASES[i]['op']}({options})"


@pytest.mark.parametrize("i", range(len(CASES)), ids=case_id)
def test_values_and_gradients_are_pytorchs(i, x64):
    case = {
        key.split("/")[1]: jnp.asarray(GOLDEN[key])
        for key in GOLDEN.files
        if key.startswith(f"{i}/")
    }
    y, g = case.pop("y"), case.pop("g")
    gradients = {name[2:]: case.pop(name) for name in list(case) if name.startswith("d_")}
    inputs = {name: value for name, value in case.items() if not name.startswith("new_")}
    function = function_of(CASES[i]["op"], CASES[i]["options"])

    @jax.jit
    def both(wanted, others):
        value, vjp = jax.vjp(lambda w: function(**{n: {**others, **w}[n] for n in inputs}), wanted)
        return value, vjp(g)[0]

    wanted = {name: inputs[name] for name in gradients}
    others = {name: value for name, value in inputs.items() if name not in gradients}
    value, computed = both(wanted, others)
    # Both sides compute in float64; sums are formed in another order.
    np.testing.assert_allclose(value, y, rtol=1e-12, atol=1e-12)
    assert gradients
    for name, gradient in gradients.items():
        np.testing.assert_allclose(
            computed[name].reshape(gradient.shape), gradient, rtol=1e-11, atol=1e-11
        )


@pytest.mark.parametrize("i", [i for i, c in enumerate(CASES) if c["op"] in ("sigmoid", "elu")])
def test_float32_keeps_seven_digits(i):
    x, y = GOLDEN[f"{i}/x"].astype(np.float32), GOLDEN[f"{i}/y"]
    function = function_of(CASES[i]["op"], CASES[i]["options"])
    # x itself was rounded, by up to half of 2**-23 of its size.
    np.testing.assert_allclose(function(x=jnp.asarray(x)), y, rtol=1e-6, atol=1e-7)
