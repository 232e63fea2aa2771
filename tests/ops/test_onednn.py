"""oneDNN's calls: right at random, never where they may not be, undone by a switch."""

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import conv
from jaxnets.ops.convolution import im2col, onednn, onednn_call, onednn_support, table
from jaxnets.ops.convolution.algorithms import ALGORITHMS, supporting
from jaxnets.ops.convolution.bilinear import apply
from jaxnets.ops.convolution.choose import choose, portable
from jaxnets.ops.convolution.plan import DIRECT, Plan
from jaxnets.ops.convolution.problem import Problem, make_problem

ROOT = Path(__file__).resolve().parents[2]
ONEDNN = Plan("onednn", "onednn", "onednn")
PROBLEM = Problem((2, 9, 7, 6), (3, 3, 6, 8), (1, 1), ((1, 1), (1, 1)), (1, 1))
here = pytest.mark.skipif(
    not onednn_support.available(),
    reason="not x86-64 Linux, or jax 0.12 with a cache (JAX_COMPILATION_CACHE_DIR= turns it off)",
)


def child(arguments, **environment):
    """Run Python with this checkout first on its path."""
    known = os.environ.get("PYTHONPATH", "")
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(ROOT), known]),
        "XLA_FLAGS": "",
        **environment,
    }
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def fuzz(seed: int, count: int, **environment) -> dict:
    program = str(ROOT / "tests" / "ops" / "onednn_fuzz.py")
    # oneDNN says which of its kernels it ran. Fresh memory holds 0x7f7f…, 3e38 in bfloat16 and in
    # float32, so that what was never written shows when it is read; writing beyond its end ends
    # the process.
    environment = {
        "ONEDNN_VERBOSE": "profile_exec",
        "MALLOC_PERTURB_": "128",
        "MALLOC_CHECK_": "3",
        "LD_PRELOAD": "libc_malloc_debug.so.0",
        **environment,
    }
    done = child([program, str(seed), str(count)], **environment)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-3000:]}"
    lines = done.stdout.splitlines()
    ran = [line for line in lines if ",exec,cpu,convolution," in line]
    assert ran, "oneDNN did not say what it ran"
    # The general kernel's sections hold further ones, for which XLA's threads can wait forever.
    assert [line for line in ran if "gemm:" in line] == []
    return json.loads(next(line for line in lines if line.startswith("{")))


@here
def test_random_convolutions_and_gradients_equal_the_definition():
    found = fuzz(seed=1, count=20)
    assert found == {"oneDNN": True, "checked": 20, "wrong": []}


@here
def test_processors_without_avx512_keep_from_the_kernel_that_hangs():
    found = fuzz(seed=4, count=10, ONEDNN_MAX_CPU_ISA="AVX2")
    assert found == {"oneDNN": True, "checked": 10, "wrong": []}


def test_which_groups_are_kept_from_it_is_a_matter_of_the_processor(monkeypatch):
    monkeypatch.setattr(onednn_support, "available", lambda: True)
    line = Problem((8, 4000, 64), (5, 1, 64), (1,), ((2, 2),), (1,), groups=64)
    ways = {}
    for name in ("avx2", "avx512"):
        flags = frozenset(onednn_support.INSTRUCTION_SETS[name])
        monkeypatch.setattr(onednn_support, "processor_flags", lambda flags=flags: flags)
        asked = ((8, 1), (8, 2), (8, 3), (1, 1), (1, 3))
        ways[name] = [onednn_support.stands_still(groups, rank) for groups, rank in asked]
        chosen = choose(line, jnp.float32, "cpu").forward
        assert (chosen == "onednn") == (name == "avx512")
    assert ways == {"avx2": [True, False, True, False, False], "avx512": [False] * 5}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert onednn_support.stands_still(groups=8, rank=1)


@here
@pytest.mark.parametrize("size", [(1, 1), (7, 2)])
def test_windows_wider_than_their_input_by_groups_are_padded_first(size):
    # Depthwise windows at the end of a mobile network on small images: such calls stood still.
    problem = Problem((2, *size, 8), (5, 5, 1, 8), (1, 1), ((2, 2), (2, 2)), (1, 1), groups=8)
    assert (
        onednn_call.refused(problem) == "a window wider than its input, by groups or on three axes"
    )
    x, kernel = arrays(problem)
    assert "__onednn" in text_of(lambda x: onednn.forward(x, kernel, problem), x)
    want = apply(x, kernel, problem, DIRECT)
    np.testing.assert_allclose(onednn.forward(x, kernel, problem), want, rtol=1e-5, atol=1e-5)


@here
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_two_thousand_random_convolutions(seed):
    assert fuzz(seed, count=200) == {"oneDNN": True, "checked": 200, "wrong": []}


def arrays(problem=PROBLEM, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    shapes = problem.x_shape, problem.kernel_shape
    return [jnp.asarray(rng.standard_normal(s), dtype) for s in shapes]


def loss(x, kernel, plan=ONEDNN, problem=PROBLEM):
    return jnp.sum(jnp.sin(apply(x, kernel, problem, plan)))


def text_of(function, *arguments, **options) -> str:
    return jax.jit(function, **options).lower(*arguments).as_text()


@here
def test_calls_are_made_and_a_switch_undoes_them(monkeypatch):
    gradient = jax.grad(loss, (0, 1))
    x, kernel = arrays()
    text = text_of(gradient, x, kernel)
    assert text.count("__onednn$convolution") == 2 and "__onednn$matmul" in text
    large = PROBLEM.replace(x_shape=(1024, 9, 7, 6))
    assert choose(large, jnp.float32, "cpu").forward == "onednn"
    # Its programs can't be stored: not worth it for one convolution of LeNet-5.
    assert choose(PROBLEM.replace(x_shape=(64, 9, 7, 6)), jnp.float32, "cpu").forward != "onednn"
    monkeypatch.setenv(onednn_support.SWITCH, "0")
    assert "__onednn" not in text_of(lambda x, k: gradient(x, k), x, kernel)
    assert choose(large, jnp.float32, "cpu").forward != "onednn"


@here
def test_other_platforms_and_exported_files_get_other_algorithms():
    x, kernel = arrays()
    exported = jax.export.export(jax.jit(lambda x, k: conv(x, k, padding=1, algorithm="onednn")))
    assert "__onednn" not in exported(x, kernel).mlir_module()
    lowered = jax.jit(loss).trace(x, kernel).lower(lowering_platforms=("tpu",))
    assert "__onednn" not in lowered.as_text()


def test_double_precision_is_left_alone(x64):
    x, kernel = arrays(dtype=jnp.float64)
    assert choose(PROBLEM, jnp.float64, "cpu") == DIRECT
    assert portable(PROBLEM, jnp.float64, ONEDNN) == DIRECT
    assert "__onednn" not in text_of(loss, x, kernel)


def test_what_it_refuses_is_said_and_never_called():
    x, kernel = arrays()
    for problem, word in [
        (PROBLEM.replace(padding=((3, 0), (0, 0))), "padding as wide"),
        (PROBLEM.replace(padding=((-1, 0), (0, 0))), "negative"),
        (PROBLEM.replace(x_shape=(0, 9, 7, 6)), "no elements"),
        (PROBLEM.replace(x_shape=(2**22, 9, 7, 64)), "elements"),
    ]:
        assert word in onednn_call.refused(problem)
        with pytest.raises(ValueError, match=word):
            onednn_call.convolution(x, kernel, problem)
    holes = Problem((1, 5, 5, 5, 2), (2, 2, 2, 2, 2), (1,) * 3, ((0, 0),) * 3, (2, 1, 1))
    assert onednn_call.refused(holes) is None
    assert "dilation" in onednn_call.refused(holes, jnp.bfloat16)
    with pytest.raises(ValueError, match="activation"):
        onednn_call.convolution(x, kernel, PROBLEM, activation="SOFTPLUS")
    with pytest.raises(ValueError, match="bias"):
        onednn_call.convolution(x, kernel, PROBLEM, bias=jnp.ones(7))
    with pytest.raises(ValueError, match="addend"):
        onednn_call.convolution(x, kernel, PROBLEM, addend=x)
    with pytest.raises(ValueError, match="a and b must be"):
        onednn_call.transposed_matmul(x[0, 0], kernel[0, 0])
    with pytest.raises(ValueError, match="operands must be float32"):
        onednn_call.convolution(x, kernel.astype(jnp.bfloat16), PROBLEM)
    with pytest.raises(ValueError, match="do not fit"):
        onednn_call.matmul(x[0, 0], kernel[0, 0].T)
    rows, matrix = jnp.ones((3, 2)), jnp.ones((2, 5))
    for wrong in ({"bias": jnp.ones(4)}, {"addend": rows}, {"activation": "SOFTPLUS"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            onednn_call.matmul(rows, matrix, **wrong)
    with pytest.raises(ValueError, match="bfloat16"):
        onednn_call.matmul(rows, matrix, bias=jnp.ones(5, jnp.bfloat16))


@here
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_convolution_of_one_pixel_is_a_matrix_product(dtype):
    """With what is fused into it, of every number of axes; one with strides is none."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.standard_normal(shape), dtype)

    for axes in ((11,), (5, 7), (2, 3, 4)):
        x, kernel = normal(3, *axes, 6), normal(*(1,) * len(axes), 6, 8)
        bias, addend = normal(8), normal(3, *axes, 8)
        problem = make_problem(x, kernel)

        def run(x, k, b, a, problem=problem):
            return onednn.convolve(x, k, problem, bias=b, addend=a, activation="RELU")

        assert "__onednn$convolution" not in text_of(run, x, kernel, bias, addend)
        values = [np.asarray(v, np.float64) for v in (x, kernel, bias, addend)]
        want = np.maximum(values[0] @ values[1].reshape(6, 8) + values[2] + values[3], 0)
        got = np.asarray(jax.jit(run)(x, kernel, bias, addend), np.float64)
        bound = 1e-5 if dtype == jnp.float32 else 1e-2
        assert np.abs(got - want).max() <= bound * np.abs(want).max()
    strided = make_problem(normal(2, 6, 6, 3), normal(1, 1, 3, 4), strides=2)
    text = text_of(
        lambda x, k: onednn.convolve(x, k, strided), normal(2, 6, 6, 3), normal(1, 1, 3, 4)
    )
    assert "__onednn$convolution" in text


@here
def test_kernel_gradients_of_first_layers_rearrange_phases():
    """Few channels and strides, as in first layers: windows that strides do not divide, too."""
    rng = np.random.default_rng(0)
    for window, strides, padding in (
        ((7, 7), (2, 2), ((3, 3), (3, 2))),
        ((5, 3, 3), (1, 2, 3), ((2, 2), (1, 0), (0, 1))),
        ((4,), (3,), ((1, 1),)),
    ):
        sides = (9, 11, 13)[: len(window)]
        x = jnp.asarray(rng.standard_normal((2, *sides, 3)), jnp.float32)
        kernel = jnp.asarray(rng.standard_normal((*window, 3, 5)), jnp.float32)
        problem = make_problem(x, kernel, strides=strides, padding=padding)
        assert onednn._few_channels(problem)
        g = jnp.asarray(rng.standard_normal(problem.out_shape), jnp.float32)
        got = jax.jit(lambda x, g, p=problem: onednn.kernel_gradient(x, g, p))(x, g)
        want = ALGORITHMS["direct"].kernel_gradient(x, g, problem)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


@here
@pytest.mark.parametrize("limit", [im2col.LIMIT, 20_000])
@pytest.mark.parametrize(
    ("shape", "window", "outputs", "groups", "shared"),
    [
        ((3, 40, 6), (5,), 2, 1, 1),
        ((3, 14, 13, 8), (3, 3), 4, 1, 1),
        ((3, 14, 13, 8), (2, 5), 4, 1, 1),
        ((2, 18, 20, 21, 12), (5, 4, 3), 2, 1, 2),
        ((2, 18, 20, 64), (3, 3), 2, 1, 2),
        ((3, 14, 13, 96), (3, 3), 96, 6, 1),
    ],
)
def test_kernel_gradients_lay_taps_out_on_both_sides(
    shape, window, outputs, groups, shared, limit, monkeypatch
):
    """Of x and of the output's gradient: all ways to part the axes, in one block and in several."""
    monkeypatch.setattr(im2col, "LIMIT", limit)
    rng = np.random.default_rng(0)
    kernel = (*window, shape[-1] // groups, outputs)
    x, kernel = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in (shape, kernel))
    padding = tuple((k // 2, (k - 1) // 2) for k in window)
    problem = make_problem(x, kernel, padding=padding, groups=groups)
    assert onednn._axes_of_outputs(problem) == shared
    g = jnp.asarray(rng.standard_normal(problem.out_shape), jnp.float32)
    got = jax.jit(lambda x, g: onednn.kernel_gradient(x, g, problem))(x, g)
    want = ALGORITHMS["direct"].kernel_gradient(x, g, problem)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * float(jnp.abs(want).max()))


def test_taps_stay_with_x_where_the_products_are_the_work():
    """Small maps of many channels: the other side's zeros would be multiplied, too."""
    wide = Problem((8, 7, 7, 512), (3, 3, 512, 512), (1, 1), ((1, 1),) * 2, (1, 1))
    assert onednn._axes_of_outputs(wide) == 0
    assert onednn._axes_of_outputs(PROBLEM.replace(strides=(2, 1))) == 0
    assert onednn._axes_of_outputs(PROBLEM.replace(dilation=(1, 2))) == 0


def test_small_strided_input_gradients_are_not_xlas(monkeypatch):
    lateral = make_problem(
        jax.ShapeDtypeStruct((1, 32, 56, 56, 8), jnp.float32),
        jax.ShapeDtypeStruct((5, 1, 1, 8, 16), jnp.float32),
        strides=(8, 1, 1),
        padding=((2, 2), (0, 0), (0, 0)),
    )
    monkeypatch.setattr(onednn_support, "available", lambda: True)
    monkeypatch.setattr(onednn_support, "instruction_set", lambda: "avx512_bf16")
    plan = choose(lateral, jnp.float32, "cpu")
    assert (plan.forward, plan.input_gradient) == ("direct", "onednn")


def test_spectra_are_not_chosen_by_the_taps_of_a_cube(monkeypatch):
    cube = make_problem(
        jax.ShapeDtypeStruct((1, 8, 28, 28, 128), jnp.float32),
        jax.ShapeDtypeStruct((3, 3, 3, 128, 256), jnp.float32),
        padding=1,
    )
    monkeypatch.setattr(onednn_support, "available", lambda: True)
    for name in onednn_support.INSTRUCTION_SETS:
        monkeypatch.setattr(onednn_support, "instruction_set", lambda name=name: name)
        assert choose(cube, jnp.float32, "cpu").kernel_gradient in ("onednn", "winograd")


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
def test_batches_of_no_images_give_no_images_and_no_gradient(algorithm):
    groups = 6 if algorithm.startswith("blocked") else 1
    window = 1 if algorithm == "pointwise" else 3
    x, kernel = jnp.ones((0, 9, 7, 6)), jnp.ones((window, window, 6 // groups, 12))
    assert algorithm == "auto" or algorithm in supporting(make_problem(x, kernel, groups=groups))
    run = partial(conv, groups=groups, algorithm=algorithm)
    y, pullback = jax.vjp(run, x, kernel)
    assert y.shape == (0, 10 - window, 8 - window, 12)
    dx, dk = pullback(y)
    assert dx.shape == x.shape and not dk.any() and dk.shape == kernel.shape


@here
def test_a_mesh_divides_images_and_output_channels_and_gathers_nothing():
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    place = lambda a, *spec: jax.device_put(  # noqa: E731
        a, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
    )
    x, kernel = arrays()
    gradient = jax.grad(loss, (0, 1))
    want = jax.jit(gradient, static_argnums=2)(x, kernel, DIRECT)
    for spec in ((), (None, None, None, "model")):
        parts = place(x, "data"), place(kernel, *spec)
        program = jax.jit(gradient).lower(*parts).compile()
        text = program.as_text()
        assert "__onednn$convolution" in text and "all-gather" not in text
        got = program(*parts)
        assert got[0].sharding.spec[0] == "data"
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))


@here
def test_an_algorithm_with_constants_beside_onednn_on_a_mesh():
    """Winograd's matrices have no place in a call that is divided by hand; XLA divides it."""
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    rng = np.random.default_rng(0)
    x, kernel = (
        rng.standard_normal(s).astype(np.float32) for s in ((256, 32, 32, 1), (5, 5, 1, 6))
    )
    problem = make_problem(x, kernel)
    program = jax.jit(apply, static_argnums=(2, 3))
    operands = jax.device_put(x, place), kernel, problem, Plan("winograd", "onednn", "onednn")
    assert "CustomSPMDPartitioning" not in program.lower(*operands).as_text()
    got = program(*operands)
    np.testing.assert_allclose(got, program(x, kernel, problem, DIRECT), atol=1e-3)


@here
def test_devices_that_have_their_part_already_call_it_as_they_are():
    x, kernel = arrays()
    summed = lambda x, k: jax.lax.psum(jax.grad(loss, 1)(x, k, ONEDNN, ALONE), "i")  # noqa: E731
    ALONE = PROBLEM.replace(x_shape=(1, 9, 7, 6))
    want = jax.grad(loss, 1)(x, kernel, DIRECT)
    got = jax.pmap(summed, "i", in_axes=(0, None))(x[:, None], kernel)[0]
    np.testing.assert_allclose(got, want, atol=1e-5 * float(jnp.abs(want).max()))
    again = jax.grad(jax.checkpoint(loss), 1)(x, kernel)
    np.testing.assert_allclose(again, want, atol=1e-5 * float(jnp.abs(want).max()))


@here
def test_derivatives_of_derivatives_forward_mode_and_batching():
    x, kernel = arrays()
    rng = np.random.default_rng(1)
    dx, dk = (jnp.asarray(rng.standard_normal(a.shape), a.dtype) for a in (x, kernel))
    many = jnp.stack([x, dx])

    @partial(jax.jit, static_argnums=0)
    def checks(plan):
        def gradient(x, kernel):
            return jax.grad(loss, (0, 1))(x, kernel, plan)

        def penalty(x, kernel):  # A gradient penalty: reverse over reverse.
            return sum(jnp.sum(g**2) for g in gradient(x, kernel))

        return {
            "forward": jax.jvp(lambda x, k: apply(x, k, PROBLEM, plan), (x, kernel), (dx, dk)),
            "forward over reverse": jax.jvp(gradient, (x, kernel), (dx, dk))[1],
            "reverse over reverse": jax.grad(penalty, (0, 1))(x, kernel),
            "gradient of each": jax.vmap(gradient, (0, None))(many, kernel),
            "kernel of each": jax.vmap(gradient)(many, jnp.stack([kernel, dk])),
        }

    got, want = checks(ONEDNN), checks(DIRECT)
    for what in want:
        for a, b in zip(jax.tree.leaves(got[what]), jax.tree.leaves(want[what]), strict=True):
            # Single precision, through two derivatives.
            assert jnp.abs(a - b).max() <= 3e-5 * jnp.abs(b).max(), what


@here
def test_programs_with_calls_are_left_out_of_the_persistent_cache():
    """XLA would read memory that is not theirs to write them."""
    program = (
        "import jax, jax.numpy as jnp, os, warnings\n"
        "warnings.simplefilter('error')\n"
        "from jaxnets.ops import conv\n"
        "run = jax.jit(lambda x, k: conv(x, k, algorithm=os.environ['HOW']).sum())\n"
        "print(float(run(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4)))))\n"
        "stored = os.listdir(os.environ['JAX_COMPILATION_CACHE_DIR'])\n"
        "print(sum('lambda' in name for name in stored))"
    )
    # From 0.11 on the child, whose cache is on, has no call in either.
    for how, stored in (("onednn", jax.__version_info__ >= (0, 11)), ("im2col", True)):
        with tempfile.TemporaryDirectory() as folder:
            done = child(
                ["-c", program],
                HOW=how,
                JAX_COMPILATION_CACHE_DIR=folder,
                JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
                JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
            )
        assert done.returncode == 0, done.stderr[-2000:]
        value, files = done.stdout.split()
        assert float(value) == 9 * 2 * 4 * 9 and (int(files) > 0) == stored


@pytest.mark.parametrize("version", [(0, 10, 2), (0, 12, 0)])
def test_where_jax_would_store_calls_there_are_none(version, monkeypatch):
    """jax 0.12 writes programs with callbacks, too: std::bad_alloc, or worse, for one of ours."""
    monkeypatch.setattr(jax, "__version_info__", version)
    folder = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        usual = onednn_support.available()
        assert not onednn_support.would_be_stored()
        jax.config.update("jax_compilation_cache_dir", "somewhere")
        stored = version >= (0, 11)
        assert onednn_support.would_be_stored() == stored
        assert onednn_support.available() == (usual and not stored)
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)


def test_a_persistent_cache_and_calls_go_without_a_warning():
    """On every version: right values, and nothing that could not be stored."""
    program = (
        "import jax, jax.numpy as jnp, warnings\n"
        "warnings.simplefilter('error')\n"
        "from jaxnets import ops\n"
        "y = jax.jit(ops.dense)(jnp.ones((2, 40, 512), jnp.bfloat16),\n"
        "                       jnp.ones((512, 512), jnp.bfloat16))\n"
        "x, k = jnp.ones((1, 20, 20, 240)), jnp.ones((3, 3, 1, 240))\n"
        "z = jax.jit(lambda x, k: ops.conv(x, k, padding=1, groups=240))(x, k)\n"
        "print(float(y[0, 0, 0]), float(z[0, 5, 5, 0]))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = child(
            ["-c", program],
            JAX_COMPILATION_CACHE_DIR=folder,
            JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
            JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["512.0", "9.0"]


@here
def test_mapped_images_become_one_batch():
    x, kernel = arrays(PROBLEM.replace(x_shape=(6, 9, 7, 6)))
    many = jax.vmap(lambda x: apply(x, kernel, PROBLEM, ONEDNN))
    text = text_of(many, x.reshape(3, 2, 9, 7, 6))
    assert text.count("__onednn$convolution") == 1 and "6x9x7x6xf32" in text


@here
def test_an_untried_version_is_probed_once_and_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path))
    calls = []

    def probe(answer):
        return lambda program: calls.append(answer) or answer

    monkeypatch.setattr(onednn_support, "probe", probe("right"))
    try:
        for _ in range(2):
            onednn_support.schema_is_right.cache_clear()
            assert onednn_support.schema_is_right("99.0", "amx")
        assert calls == ["right"]
        monkeypatch.setattr(onednn_support, "probe", probe("the probe ended with status -6"))
        for _ in range(2):
            onednn_support.schema_is_right.cache_clear()
            assert not onednn_support.schema_is_right("99.1", "amx")
        assert len(calls) == 2
        answers = json.loads((tmp_path / "onednn.json").read_text())
        assert answers["jaxlib 99.0 on amx, probe 2"] == "right" and len(answers) == 2
    finally:
        onednn_support.schema_is_right.cache_clear()


@here
def test_the_probe_survives_what_ends_its_child(tmp_path, monkeypatch):
    (tmp_path / "ending.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "status -6" in onednn_support.probe("ending")
    (tmp_path / "wrong.py").write_text("print('fused 1 in float32: relative error 1e+00')\n")
    assert onednn_support.probe("wrong").startswith("fused 1")


@here
def test_the_probe_tells_a_configuration_of_other_meaning(monkeypatch):
    """Earlier versions counted strides from 1 and padding from 1 on: values must betray that."""
    from jaxnets.ops.convolution import onednn_probe

    problem = onednn_probe.CASES[1]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal(problem.x_shape), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal(problem.kernel_shape), jnp.float32)
    right = onednn_call.configuration(problem)

    def shifted(problem, fusions=(), packed=False):
        config = json.loads(json.dumps(right))
        window = config["onednn_conv_config"]["window"]
        window["pad_left"], window["pad_right"] = window["pad_right"], window["pad_left"]
        return config

    monkeypatch.setattr(onednn_call, "configuration", shifted)
    got = jax.jit(lambda x, k: onednn_call.convolution(x, k, problem))(x, kernel)
    want = onednn_probe.definition(np.asarray(x), np.asarray(kernel), problem)
    assert np.abs(np.asarray(got) - want).max() > 0.1 * np.abs(want).max()


def test_processors_and_precisions():
    names = onednn_support.INSTRUCTION_SETS
    assert onednn_support.instruction_set(frozenset({"sse2"})) is None
    for name, flags in names.items():
        assert onednn_support.instruction_set(frozenset(flags)) == name
    assert onednn_support.compute_dtype(jnp.float64) is None
    for kinds in table.ONEDNN.values():
        assert set(kinds) <= {"float32", "bfloat16"}


def test_lower_limits_of_onednn_itself_keep_half_precision_away(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert not onednn_support.computes(jnp.bfloat16)
    assert onednn_support.compute_dtype(jnp.bfloat16) == jnp.float32
    assert onednn_support.computes(jnp.float32)
