"""Fractional max pooling: PyTorch's values, the paper's sequences, and a loop over regions."""

import json
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxnets import nn, ops
from jaxnets.ops.fractional_sequences import (
    Regions,
    all_random_steps,
    pseudo_random_steps,
    random_steps,
)

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "fractional_pooling.npz")
CASES = json.loads(str(GOLDEN["cases"]))


@pytest.mark.parametrize("i", range(len(CASES)))
def test_values_and_gradients_are_pytorchs(i):
    """Exactly: maxima are copied, and where regions lie is integers."""
    case = CASES[i]
    with jax.enable_x64(case["dtype"] == "float64"):
        x, samples, y, g, d_x = (
            jnp.asarray(GOLDEN[f"{i}/{name}"]) for name in ("x", "samples", "y", "g", "d_x")
        )
        pool = jax.jit(
            lambda x: ops.fractional_max_pool(
                None,
                x,
                output_size=case["output_size"],
                window=case["window"],
                samples=samples[..., ::-1],  # PyTorch: (width, height)
            )
        )
        got, vjp = jax.vjp(pool, x)
        np.testing.assert_array_equal(got, y)
        # Several regions may add to one cell's gradient, in another order.
        np.testing.assert_allclose(vjp(g)[0], d_x, rtol=1e-6, atol=1e-7)


def test_samples_in_the_other_order_give_another_result():
    x, samples = jnp.asarray(GOLDEN["1/x"]), jnp.asarray(GOLDEN["1/samples"])
    y = ops.fractional_max_pool(None, x, output_size=(6, 7), window=2, samples=samples)
    assert (y != GOLDEN["1/y"]).any()


def by_loop(x, regions):
    """Max over regions [(first, last) of each], by plain loops. x: (H, W, C)."""
    rows, columns = regions
    return np.array([[x[a : b + 1, c : d + 1].max((0, 1)) for c, d in columns] for a, b in rows])


@pytest.mark.parametrize("sequence", ["random", "pseudo-random"])
@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("share", ["batch", "example", "channel"])
def test_every_result_is_the_maxima_of_allowed_regions(sequence, overlapping, share):
    """Maps of distinct numbers that grow along both axes show where every region ends."""
    h, w = 13, 10
    grid = np.arange(h)[:, None, None] * 100.0 + np.arange(w)[:, None]
    x = jnp.asarray(np.broadcast_to(grid, (3, h, w, 2)), jnp.float32)
    y = ops.fractional_max_pool(
        jax.random.key(4),
        x,
        output_size=(8, 7),
        sequence=sequence,
        overlapping=overlapping,
        share=share,
    )
    y = np.asarray(y).astype(int)
    ends = {}
    for n in range(3):
        for c in range(2):
            rows, columns = y[n, :, 0, c] // 100, y[n, 0, :, c] % 100
            np.testing.assert_array_equal(y[n, ..., c], rows[:, None] * 100 + columns)
            ends[n, c] = (*rows, *columns)
            for last, size in ((rows, h), (columns, w)):
                first = np.concatenate([[0], last[:-1] + (0 if overlapping else 1)])
                increments = last - first + (0 if overlapping else 1)
                assert set(increments) <= {1, 2} and last[-1] == size - 1
                if sequence == "pseudo-random":
                    # Even: any stretch of k regions covers ⌊kα⌋ or ⌈kα⌉ entries.
                    a = np.concatenate([[0], np.cumsum(increments)])
                    alpha = a[-1] / len(increments)
                    for k in range(1, len(a)):
                        steps = a[k:] - a[:-k]
                        assert np.floor(k * alpha) <= steps.min()
                        assert steps.max() <= np.ceil(k * alpha)
    same_in_channels = all(ends[n, 0] == ends[n, 1] for n in range(3))
    same_in_batch = all(ends[n, 0] == ends[0, 0] for n in range(3))
    assert same_in_channels == (share != "channel")
    assert same_in_batch == (share == "batch")


@pytest.mark.parametrize("overlapping", [True, False])
def test_a_map_against_plain_loops(overlapping):
    x = np.random.default_rng(0).standard_normal((1, 9, 8, 3)).astype(np.float32)
    u = np.array([[[0.4, 0.8]]], np.float32)
    y = ops.fractional_max_pool(
        None, jnp.asarray(x), output_size=(6, 5), overlapping=overlapping, samples=jnp.asarray(u)
    )
    regions = []
    for size, out, sample in ((9, 6, 0.4), (8, 5, 0.8)):
        total = size - 1 if overlapping else size
        # ⌊α i + φ⌋ with α = total/out and φ = ⌊u out⌋/out.
        a = [int(np.floor((total * i + int(sample * out)) / out)) for i in range(out + 1)]
        regions.append([(a[i], a[i + 1] - (not overlapping)) for i in range(out)])
    np.testing.assert_array_equal(y[0], by_loop(x[0], regions))


@pytest.mark.parametrize(("total", "steps"), [(7, 5), (8, 4), (5, 5), (35, 25), (999, 707)])
def test_pseudo_random_sequences_are_the_papers(total, steps):
    """a_i = ⌈α (i + u)⌉ up to its start: the same sequences, in exact rational arithmetic."""
    from fractions import Fraction

    alpha, ours = Fraction(total, steps), set()
    for phase in range(min(steps, 40)):
        a = np.asarray(pseudo_random_steps(jnp.float32((phase + 0.5) / steps), total, steps))
        assert a[0] == 0 and a[-1] == total and set(np.diff(a)) <= {1, 2}
        # φ in [0, 1) plays the part of the fraction of αu: ⌊αi + φ⌋ = ⌈αi + φ'⌉ − 1.
        phi = Fraction(phase, steps)
        paper = [-(-(alpha * i + phi + Fraction(1, 2 * steps)) // 1) - 1 for i in range(steps + 1)]
        np.testing.assert_array_equal(a, np.array(paper, int))
        ours.add(tuple(a))
    assert len(ours) == min(steps // np.gcd(total, steps), 40)


def test_random_sequences_are_all_equally_likely():
    keys = jax.random.split(jax.random.key(0), 6000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: random_steps(key, 7, 5)))(keys))
    possible = [tuple(row) for row in all_random_steps(7, 5)]
    assert len(possible) == len(set(possible)) == 10  # 5 choose 2
    counts = Counter(map(tuple, drawn))
    assert set(counts) == set(possible)
    assert stats.chisquare([counts[p] for p in possible]).pvalue > 0.01


def test_windows_of_pytorch_with_random_order():
    x = jnp.arange(10.0).reshape(1, 10, 1)
    y = ops.fractional_max_pool(
        jax.random.key(0), x, output_size=7, window=2, sequence="random", share="batch"
    )
    starts = np.asarray(y).ravel() - 1
    assert starts[0] == 0 and starts[-1] == 8 and sorted(np.diff(starts)) == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("ratio", [2**0.5, 2 ** (1 / 3), 1.25, 1.9])
def test_the_ratio_gives_the_size(ratio):
    for n in (5, 25, 36, 71):
        x = jax.ShapeDtypeStruct((1, n, n, 1), jnp.float32)
        f = lambda x: ops.fractional_max_pool(jax.random.key(0), x, ratio=ratio)  # noqa: E731
        m = jax.eval_shape(f, x).shape[1]
        assert m == np.floor(n / ratio + 1e-9) and m <= n / ratio < m + 1
    assert ops.fractional_max_pool(
        jax.random.key(0), jnp.zeros((1, 5, 10, 1)), ratio=1.25
    ).shape == (1, 4, 8, 1)


def test_one_and_three_spatial_axes():
    key = jax.random.key(0)
    assert ops.fractional_max_pool(key, jnp.ones((2, 9, 3)), ratio=1.5).shape == (2, 6, 3)
    y = ops.fractional_max_pool(key, jnp.ones((2, 9, 6, 7, 3)), output_size=(6, 4, 5))
    assert y.shape == (2, 6, 4, 5, 3)


def test_nan_and_minus_infinity_go_through():
    x = jnp.full((1, 4, 1), -jnp.inf).at[0, 1].set(jnp.nan)
    y = ops.fractional_max_pool(None, x, output_size=3, samples=jnp.zeros((1, 1, 1)))[0, :, 0]
    assert jnp.isnan(y[:2]).any() and jnp.isneginf(y[-1])


def test_the_layer():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 9, 9, 2)), jnp.float32)
    layer = nn.FractionalMaxPool(1.5)
    tested = layer.apply({}, x, train=False)
    assert tested.shape == (4, 6, 6, 2)
    np.testing.assert_array_equal(
        tested, ops.fractional_max_pool(None, x, ratio=1.5, samples=jnp.full((1, 1, 2), 0.5))
    )
    trained = [
        layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(i)}) for i in range(2)
    ]
    assert (trained[0] != trained[1]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 1.0}, r"ratio: got 1.0; expected .*between 1 and 2"),
        ({"ratio": 2.0}, r"ratio: got 2.0"),
        ({"ratio": float("nan")}, r"ratio: got nan"),
        ({}, r"ratio, output_size: got None and None"),
        ({"ratio": 1.5, "output_size": 4}, r"ratio, output_size: got 1.5 and 4"),
        ({"output_size": 9}, r"output_size: got 9 on spatial axis 0 of 8 entries; .*4 to 7"),
        ({"output_size": 3}, r"output_size: got 3 on .*number 4 to 7"),
        ({"output_size": 3, "overlapping": False}, r"output_size: got 3 on .*number 4 to 8"),
        ({"output_size": (4, 4, 4)}, r"output_size: got \(4, 4, 4\)"),
        ({"output_size": 0}, r"output_size: got \(0, 0\)"),
        ({"output_size": 7, "window": 3}, r"got 7 regions of 3 entries .* at most 6"),
        ({"output_size": 2, "window": 2, "sequence": "random"}, r"number 4 to 7 there"),
        ({"ratio": 1.5, "window": 0}, r"window: got 0"),
        ({"ratio": 1.5, "sequence": "sobol"}, r"sequence: got 'sobol'; expected one of"),
        ({"ratio": 1.5, "share": "pixel"}, r"share: got 'pixel'; expected one of"),
        ({"ratio": 1.5, "key": None}, r"key: got None"),
        ({"ratio": 1.5, "samples": jnp.ones((3, 1, 2))}, r"samples: got shape \(3, 1, 2\)"),
        (
            {"ratio": 1.5, "samples": jnp.ones((1, 1, 2)), "sequence": "random"},
            r"samples: a random sequence needs a key",
        ),
    ],
)
def test_mistakes_are_named(options, message):
    options = {"key": jax.random.key(0), **options}
    with pytest.raises(ValueError, match=message):
        ops.fractional_max_pool(x=jnp.ones((2, 8, 8, 3)), **options)


def test_a_shape_without_spatial_axes_is_named():
    with pytest.raises(ValueError, match=r"x: got shape \(2, 3\)"):
        ops.fractional_max_pool(jax.random.key(0), jnp.ones((2, 3)), ratio=1.5)


def test_the_largest_region_is_known_beforehand():
    assert Regions(9, 6, None, True).longest == 3
    assert Regions(7, 6, None, True).longest == 2  # α = 1: [a, a + 1]
    assert Regions(9, 6, None, False).longest == 2
    assert Regions(9, 6, 4, True).longest == 4
