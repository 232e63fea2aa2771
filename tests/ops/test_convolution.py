"""Every convolution algorithm against XLA's own and a loop over the definition, with gradients."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnets import nn
from jaxnets.ops import conv
from jaxnets.ops.convolution import (
    circular_conv,
    conv_transformed,
    dft,
    im2col,
    strassen,
    transform_kernel,
)
from jaxnets.ops.convolution.algorithms import ALGORITHMS, supporting
from jaxnets.ops.convolution.cook_toom import matrices
from jaxnets.ops.convolution.problem import make_problem

# (x, kernel, arguments): odd sizes, every kind of padding, strides, holes, groups, 1×n, one
# channel, batch one, one to three axes.
CASES = {
    "3x3": ((2, 9, 7, 3), (3, 3, 3, 4), {"padding": 1}),
    "uneven padding, batch one": ((1, 8, 11, 4), (3, 3, 4, 6), {"padding": ((0, 2), (1, 0))}),
    "strided groups": ((2, 9, 10, 4), (3, 3, 2, 6), {"padding": 1, "strides": 2, "groups": 2}),
    "strided depthwise, multiplier, holes": (
        (2, 9, 10, 4),
        (3, 2, 1, 8),
        {"padding": 1, "strides": (2, 3), "groups": 4, "dilation": (1, 2)},
    ),
    "depthwise 5x5": ((3, 7, 7, 6), (5, 5, 1, 6), {"padding": "SAME", "groups": 6}),
    "pointwise strided": ((3, 7, 7, 6), (1, 1, 6, 3), {"strides": 2}),
    "pointwise groups, padded": ((3, 7, 7, 6), (1, 1, 2, 3), {"padding": 1, "groups": 3}),
    "1x3, one channel, wide padding": ((2, 9, 9, 1), (1, 3, 1, 4), {"padding": 3}),
    "one axis": ((2, 13, 3), (3, 3, 5), {"padding": 2}),
    "three axes": ((2, 5, 6, 7, 3), (3, 3, 3, 3, 2), {"padding": 1}),
    "groups": ((1, 9, 9, 8), (3, 3, 2, 8), {"padding": 1, "groups": 4}),
    "holes": ((2, 9, 9, 3), (3, 3, 3, 4), {"padding": 2, "dilation": 2}),
    "even window, VALID": ((2, 10, 9, 3), (4, 2, 3, 4), {"padding": "VALID"}),
    "stride larger than window": ((2, 11, 11, 2), (2, 2, 2, 3), {"strides": 3, "padding": "SAME"}),
}
# Bᵀ and Aᵀ of F(4, 3) and F(6, 3) have entries up to 8 and 32: rounding grows by their products.
FLOAT64 = {"winograd": 1e-9, "blocked-winograd": 1e-9, "winograd6": 1e-9}
FLOAT32 = {"winograd": 5e-4, "blocked-winograd": 5e-4, "winograd6": 5e-3}

# LLVM's optimizations are half of the compilation. Only float32 is tested near its rounding, and
# so compiled as users compile it.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def relative(got, want) -> float:
    want = np.asarray(want, np.float64)
    return float(np.abs(np.asarray(got, np.float64) - want).max() / np.abs(want).max())


def lax_conv(x, kernel, problem):
    spatial = "DHW"[3 - problem.rank :]
    return lax.conv_general_dilated(
        x,
        kernel,
        problem.strides,
        problem.padding,
        rhs_dilation=problem.dilation,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=problem.groups,
    )


def arrays(name: str, dtype=np.float64):
    x_shape, kernel_shape, arguments = CASES[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    x, kernel = rng.standard_normal(x_shape), rng.standard_normal(kernel_shape)
    return x.astype(dtype), kernel.astype(dtype), arguments


def reference(x, kernel, problem):
    """The value, both gradients of ⟨g, y⟩, and g, by XLA in float64."""
    g = np.random.default_rng(0).standard_normal(problem.out_shape)

    @quick_jit
    def run(x, kernel):
        y, pullback = jax.vjp(lambda x, kernel: lax_conv(x, kernel, problem), x, kernel)
        return y, *pullback(g)

    return *run(x, kernel), g


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_equal_lax_in_float64(name, x64):
    x, kernel, arguments = arrays(name)
    problem = make_problem(x, kernel, **arguments)
    *want, g = reference(x, kernel, problem)
    names = supporting(problem)
    assert "direct" in names and len(names) >= 3

    @quick_jit  # All algorithms in one program: one compilation.
    def run(x, kernel):
        results = {}
        for algorithm in names:
            y, pullback = jax.vjp(
                lambda x, k, a=algorithm: conv(x, k, algorithm=a, **arguments), x, kernel
            )
            results[algorithm] = (y, *pullback(g))
        return results

    for algorithm, got in run(x, kernel).items():
        errors = [relative(a, b) for a, b in zip(got, want, strict=True)]
        assert max(errors) <= FLOAT64.get(algorithm, 1e-10), (algorithm, errors)


@pytest.mark.parametrize(
    "name", ["3x3", "strided groups", "depthwise 5x5", "pointwise strided", "groups", "one axis"]
)
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_single_and_half_precision(name, dtype):
    x, kernel, arguments = arrays(name, dtype)
    problem = make_problem(x, kernel, **arguments)
    with jax.enable_x64(True):
        *want, g = reference(x.astype(np.float64), kernel.astype(np.float64), problem)
    g = jnp.asarray(g, dtype)

    @(jax.jit if dtype == np.float32 else quick_jit)
    def run(x, kernel):
        results = {}
        for algorithm in supporting(problem):
            y, pullback = jax.vjp(
                lambda x, k, a=algorithm: conv(x, k, algorithm=a, **arguments), x, kernel
            )
            results[algorithm] = (y, *pullback(g))
        return results

    for algorithm, got in run(x, kernel).items():
        assert all(a.dtype == dtype for a in got)
        # bfloat16 keeps eight bits: one rounding of the result, and of g, is 2⁻⁸ each.
        bound = 1e-5 if dtype == np.float32 else 1e-2
        bound = max(bound, FLOAT32.get(algorithm, 0))
        errors = [relative(a, b) for a, b in zip(got, want, strict=True)]
        assert max(errors) <= bound, (algorithm, errors)


@pytest.mark.parametrize("name", ["3x3", "strided groups", "one axis", "holes"])
def test_strassens_recursion_inside_convolutions(name, x64):
    """At these sizes the default cut-off never recurses: with 2 and 4 products do."""
    x, kernel, arguments = arrays(name)
    problem = make_problem(x, kernel, **arguments)
    *want, g = reference(x, kernel, problem)
    sides = problem.pixels, problem.taps * kernel.shape[-2], kernel.shape[-1] // problem.groups
    levels = strassen.levels(*sides, cutoff=2)
    assert levels >= 1 and strassen.levels(*sides) == 0

    @quick_jit
    def run(x, kernel):
        results = []
        for cutoff in (2, 4):
            y, pullback = jax.vjp(
                lambda x, k, c=cutoff: conv(x, k, algorithm=f"strassen:{c}", **arguments), x, kernel
            )
            results.append((y, *pullback(g)))
        return results

    for got in run(x, kernel):
        for a, b in zip(got, want, strict=True):
            assert relative(a, b) <= 1e-10
    # Seven products of blocks where the definition has eight.
    text = str(jax.make_jaxpr(lambda x, k: strassen.forward(x, k, problem, cutoff=2))(x, kernel))
    assert text.count("dot_general[") == 7**levels


def test_lax_itself_equals_the_definition(x64):
    # The reference of the tests above against a loop that only knows the formula.
    x, kernel, arguments = arrays("strided depthwise, multiplier, holes")
    problem = make_problem(x, kernel, **arguments)
    padded = np.pad(x, [(0, 0), *problem.padding, (0, 0)])
    y = np.zeros(problem.out_shape)
    fan_in, per_group = kernel.shape[-2], kernel.shape[-1] // problem.groups
    for n, i, j, d in np.ndindex(*problem.out_shape):
        first = d // per_group * fan_in
        for a, b, c in np.ndindex(*kernel.shape[:3]):
            row = i * problem.strides[0] + a * problem.dilation[0]
            column = j * problem.strides[1] + b * problem.dilation[1]
            y[n, i, j, d] += padded[n, row, column, first + c] * kernel[a, b, c, d]
    np.testing.assert_allclose(lax_conv(x, kernel, problem), y, atol=1e-12)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("im2col", "3x3"),
        ("fft", "3x3"),
        ("winograd", "3x3"),
        ("strassen", "3x3"),
        ("shift", "depthwise 5x5"),
        ("pointwise", "pointwise strided"),
        ("blocked", "strided groups"),
        ("blocked-winograd", "groups"),
    ],
)
def test_derivatives_of_derivatives_forward_mode_and_batching(algorithm, name, x64):
    x, kernel, arguments = arrays(name)
    problem = make_problem(x, kernel, **arguments)
    rng = np.random.default_rng(1)
    dx, dk = rng.standard_normal(x.shape), rng.standard_normal(kernel.shape)
    many_x, many_k = rng.standard_normal((2, *x.shape)), rng.standard_normal((2, *kernel.shape))

    def checks(convolve):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(convolve(x, kernel)))

        gradient = jax.grad(loss, (0, 1))

        def penalty(x, kernel):  # A gradient penalty: reverse over reverse.
            return sum(jnp.sum(g**2) for g in gradient(x, kernel))

        return {
            "forward": jax.jvp(convolve, (x, kernel), (dx, dk)),
            "forward over reverse": jax.jvp(gradient, (x, kernel), (dx, dk))[1],
            "reverse over reverse": jax.grad(penalty, (0, 1))(x, kernel),
            "batch of x": jax.vmap(convolve, (0, None))(many_x, kernel),
            "batch of both": jax.vmap(convolve)(many_x, many_k),
            "gradient of each": jax.vmap(gradient, (0, None))(many_x, kernel),
        }

    got, want = quick_jit(
        lambda: (
            checks(lambda x, k: conv(x, k, algorithm=algorithm, **arguments)),
            checks(lambda x, k: lax_conv(x, k, problem)),
        )
    )()
    for what in want:
        pairs = zip(jax.tree.leaves(got[what]), jax.tree.leaves(want[what]), strict=True)
        for a, b in pairs:
            assert relative(a, b) <= 1e-9, (algorithm, what)


def test_gradients_inside_shard_map_with_its_checks_on(monkeypatch):
    from jaxnets.ops.convolution import winograd

    monkeypatch.setattr(winograd, "BLOCK", 15_000)  # loops begin with zeros that must vary, too
    monkeypatch.setattr(im2col, "LIMIT", 10_000)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((4, 9, 9, 3)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 3, 4)), jnp.float32)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split, same = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()
    names = ("direct", "im2col", "winograd", "fft", "shift")

    def gradients(x, kernel):  # The kernel's is the sum over devices, see the JAX manual.
        def loss(kernel, algorithm):
            return jnp.sum(conv(x, kernel, padding=1, algorithm=algorithm) ** 2)

        return [jax.grad(loss)(kernel, name) for name in names]

    shared = jax.shard_map(gradients, mesh=mesh, in_specs=(split, same), out_specs=same)
    want = jax.jit(gradients)(x, kernel)[0]
    for name, got in zip(names, jax.jit(shared)(x, kernel), strict=True):
        assert relative(got, want) <= FLOAT32.get(name, 1e-5), name


def test_blocks_of_memory_do_not_change_the_result(monkeypatch, x64):
    from jaxnets.ops.convolution import winograd

    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 14, 9, 5)), rng.standard_normal((3, 3, 5, 6))
    problem = make_problem(x, kernel, padding=1)
    strided = make_problem(x, kernel, padding=1, strides=2)
    monkeypatch.setattr(im2col, "LIMIT", 5000)
    assert im2col.block_shape(problem, 8) == (1, 1)

    def both(algorithm, strides):
        y, pullback = jax.vjp(
            lambda x, k: conv(x, k, padding=1, strides=strides, algorithm=algorithm), x, kernel
        )
        return y, *pullback(np.cos(np.arange(y.size)).reshape(y.shape))

    @quick_jit
    def run():
        want = {1: both("direct", 1), 2: both("direct", 2)}
        results = [(both("im2col", 1), want[1]), (both("im2col", 2), want[2])]
        for block in (60_000, 20_000):  # one image at a time; bands of one image
            monkeypatch.setattr(winograd, "BLOCK", block)
            results.append((both("winograd", 1), want[1]))
        return results

    del strided
    for got, want in run():
        for a, b in zip(got, want, strict=True):
            assert relative(a, b) <= 1e-10


def test_long_axes_use_fast_transforms(monkeypatch, x64):
    monkeypatch.setattr(dft, "LIMIT", 0)
    for name in ("uneven padding, batch one", "holes", "three axes", "depthwise 5x5"):
        x, kernel, arguments = arrays(name)
        problem = make_problem(x, kernel, **arguments)
        *want, g = reference(x, kernel, problem)
        # A wrapper of its own, so that no program compiled with matrices is used again.
        y, pullback = jax.vjp(
            jax.jit(lambda x, k, a=arguments: conv(x, k, algorithm="fft", **a)), x, kernel
        )
        for a, b in zip((y, *pullback(g)), want, strict=True):
            assert relative(a, b) <= 1e-10


def test_circular_convolution_wraps_round(x64):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 6, 7, 3)), rng.standard_normal((3, 5, 3, 2))
    want = np.zeros((2, 6, 7, 2))
    for a, b in itertools.product(range(3), range(5)):
        want += np.roll(x, (-a, -b), (1, 2)) @ kernel[a, b]
    np.testing.assert_allclose(circular_conv(x, kernel), want, atol=1e-12)


def test_parseval(x64):
    x = np.random.default_rng(0).standard_normal((9, 8, 1))
    spectrum = dft.spectrum(jnp.asarray(x), (9, 8), [np.arange(9), np.arange(8)])
    full = np.fft.rfftn(x[..., 0], axes=(1, 0))
    np.testing.assert_allclose(np.asarray(spectrum[:, 0, 0]).reshape(5, 8), full.real, atol=1e-12)
    np.testing.assert_allclose(np.asarray(spectrum[:, 1, 0]).reshape(5, 8), full.imag, atol=1e-12)
    energy = np.sum(np.asarray(spectrum) ** 2, (1, 2)).reshape(5, 8)
    whole = energy[0].sum() + 2 * energy[1:].sum()  # the other half by symmetry
    np.testing.assert_allclose(whole / 72, np.sum(x**2), rtol=1e-12)


def test_minimal_filtering_equals_the_paper_and_counts():
    # Lavin and Gray, section 4.3: F(4×4, 3×3), as they print it.
    b, g, a = matrices(4, 3)
    np.testing.assert_array_equal(b[0], [4, 0, -5, 0, 1, 0])
    np.testing.assert_array_equal(b[5], [0, 4, 0, -5, 0, 1])
    np.testing.assert_allclose(g[:2], [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6]])
    np.testing.assert_array_equal(
        a, [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    )
    rng = np.random.default_rng(0)
    for m, products in ((2, 16), (4, 36), (6, 64)):
        b, g, a = matrices(m, 3)
        d, k = rng.standard_normal((m + 2, m + 2)), rng.standard_normal((3, 3))
        tile = (g @ k @ g.T) * (b @ d @ b.T)
        assert tile.size == products  # of the definition's 9·m²
        want = [[(d[i : i + 3, j : j + 3] * k).sum() for j in range(m)] for i in range(m)]
        np.testing.assert_allclose(a @ tile @ a.T, want, atol=1e-12)


def test_transformed_kernels_can_be_used_again(x64):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 9, 8, 3)), rng.standard_normal((3, 3, 3, 4))
    want = lax_conv(x, kernel, make_problem(x, kernel, padding=1))
    for m in (2, 4, 6):
        transformed = transform_kernel(jnp.asarray(kernel), m)
        got = jax.jit(lambda x, t: conv_transformed(x, t, padding=1))(x, transformed)
        assert relative(got, want) <= 1e-10
    with pytest.raises(ValueError, match="winograd cannot use this kernel"):
        transform_kernel(jnp.ones((7, 7, 3, 4)))
    with pytest.raises(ValueError, match="m must be 2, 4 or 6"):
        transform_kernel(jnp.ones((3, 3, 3, 4)), m=5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": "winograd", "strides": 2}, ["strides are (2, 2)", "im2col", "(3, 3, 4, 6)"]),
        ({"algorithm": "winograd", "dilation": 2}, ["dilation is (2, 2)"]),
        ({"algorithm": "fft", "strides": 2}, ["strides are (2, 2)", "direct"]),
        ({"algorithm": "pointwise"}, ["window is (3, 3)"]),
        ({"algorithm": "blocked"}, ["groups=1"]),
        ({"algorithm": "magic"}, ["'magic'", "winograd", "auto"]),
        ({"groups": 3}, ["groups=3", "(2, 8, 8, 4)"]),
        ({"groups": 2}, ["C_in/groups = 4/2 = 2", "got 4"]),
        ({"padding": -1}, ["padding", "-1"]),
        ({"padding": "same!"}, ["padding", "'same!'"]),
        ({"padding": (1, 1, 1)}, ["padding", "(1, 1, 1)"]),
        ({"strides": 0}, ["strides", "0"]),
        ({"strides": (1, 2, 3)}, ["strides", "(1, 2, 3)"]),
        ({"dilation": 1.5}, ["dilation", "1.5"]),
        ({"dilation": 4}, ["(9, 9)", "(8, 8)"]),
    ],
)
def test_mistakes_are_named(arguments, words):
    x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 6))
    with pytest.raises(ValueError) as error:
        conv(x, kernel, **arguments)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("x", "kernel", "word"),
    [
        (jnp.ones((8, 8, 4)), jnp.ones((3, 3, 4, 6)), "x[None]"),
        (jnp.ones((2, 8, 8, 4)), jnp.ones((3, 4)), "3 to 5 axes"),
        (jnp.ones((2, 8, 8, 4), int), jnp.ones((3, 3, 4, 6), int), "floating"),
        (jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 6), jnp.bfloat16), "one dtype"),
        (jnp.ones((2, 2, 8, 4)), jnp.ones((3, 3, 4, 6)), "reaches over"),
    ],
)
def test_wrong_arrays_are_named(x, kernel, word):
    with pytest.raises(ValueError, match=r"kernel \(") as error:
        conv(x, kernel)
    assert word in str(error.value)


def test_every_algorithm_is_described():
    assert all(a.summary for a in ALGORITHMS.values())


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
def test_an_empty_batch_gives_an_empty_result_and_a_gradient_of_zero(algorithm):
    """The last batch of a filtered data set may hold nothing."""
    shapes = [((0, 9, 9, 4), (3, 3, 4, 6), 1), ((0, 9, 9, 4), (1, 1, 4, 6), 1)]
    shapes += [((0, 9, 9, 4), (3, 3, 2, 6), 2), ((0, 9, 9, 4), (3, 3, 1, 4), 4)]
    tried = 0
    for shape, window, groups in shapes:
        x, kernel = jnp.zeros(shape), jnp.ones(window)
        problem = make_problem(x, kernel, 1, 1, 1, groups)
        if algorithm != "auto" and algorithm not in supporting(problem):
            continue
        tried += 1
        convolve = partial(conv, padding=1, groups=groups, algorithm=algorithm)
        y, pull = jax.vjp(convolve, x, kernel)
        assert y.shape == problem.out_shape
        to_x, to_kernel = pull(y)
        assert to_x.shape == x.shape
        np.testing.assert_array_equal(to_kernel, jnp.zeros(window))
    assert tried


def test_the_platform_that_a_program_is_for_is_an_argument():
    """A depthwise convolution: shifted sums on CPUs, XLA's own elsewhere."""
    x, kernel = jnp.zeros((8, 56, 56, 144)), jnp.zeros((3, 3, 1, 144))

    def program(platform):
        convolve = partial(conv, padding=1, groups=144, platform=platform)
        return str(jax.make_jaxpr(convolve)(x, kernel))

    assert "conv_general_dilated" not in program("cpu")
    for platform in ("tpu", "cuda", "any"):
        assert "conv_general_dilated" in program(platform)
    if jax.default_backend() == "cpu":
        assert program(None) == program("cpu")
    layer = nn.Conv(144, (3, 3), padding=1, groups=144, platform="tpu")
    text = str(jax.make_jaxpr(lambda x: layer.init_with_output(jax.random.key(0), x)[0])(x))
    assert "conv_general_dilated" in text
