"""Local response normalization, as the paper writes it."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ops


def paper_formula(a, n=5, alpha=1e-4, beta=0.75, k=2.0):
    channels = a.shape[-1]
    b = np.empty_like(a)
    for i in range(channels):
        lo, hi = max(0, i - n // 2), min(channels - 1, i + n // 2)
        b[..., i] = a[..., i] / (k + alpha * (a[..., lo : hi + 1] ** 2).sum(-1)) ** beta
    return b


@pytest.mark.parametrize("options", [{}, {"n": 3, "alpha": 0.5, "beta": 0.5, "k": 1.0}, {"n": 9}])
def test_formula(options, x64):
    a = 50 * np.random.default_rng(0).standard_normal((2, 3, 4, 7))
    size = {"size": options["n"]} if "n" in options else {}
    rest = {name: value for name, value in options.items() if name != "n"}
    y = ops.local_response_norm(jnp.asarray(a), **size, **rest)
    np.testing.assert_allclose(y, paper_formula(a, **options), rtol=1e-13)


def test_libraries_that_divide_alpha_need_it_times_size(x64):
    x = jnp.asarray(30 * np.random.default_rng(0).standard_normal((4, 16)))
    paper = ops.local_response_norm(x)
    same = ops.local_response_norm(x, alpha=5e-4, divide_by_size=True)
    np.testing.assert_allclose(same, paper, rtol=1e-14)
    assert jnp.abs(ops.local_response_norm(x, divide_by_size=True) - paper).max() > 0.1


def test_large_activations_do_not_overflow_bfloat16_or_float16():
    x = jnp.full((1, 5), 1000.0, jnp.float16)  # squared: 10⁶, above float16's 65504
    expected = paper_formula(np.full((1, 5), 1000.0))
    np.testing.assert_allclose(ops.local_response_norm(x), expected, rtol=2e-3)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"size: got 0"):
        ops.local_response_norm(jnp.ones((1, 3)), size=0)
    with pytest.raises(ValueError, match=r"k: got 0"):
        ops.local_response_norm(jnp.ones((1, 3)), k=0)
