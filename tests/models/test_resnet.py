"""What the residual networks say of themselves: shortcuts, strides, plain nets, the loop."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import count_macs, count_parameters, create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.models.resnet import BasicBlock, Bottleneck
from jaxnets.nn import BatchNorm


@pytest.fixture
def run(quick_jit):
    """A function that calls a network once, compiled: much faster than operation by operation."""

    def run(model, variables, x, **how):
        return quick_jit(lambda v, x: model.apply(v, x, **how))(variables, x)

    return run


X = np.random.RandomState(0).standard_normal((2, 32, 32, 3)).astype(np.float32)


def test_the_loop_over_blocks_is_the_network_without_it(filled_variables, run):
    """scan=True stacks the parameters of a stage's later blocks; nothing else changes."""
    fields = {"blocks": 3, "widths": (4, 6, 8)}
    looped, unrolled = (create_model("resnet20", scan=s, **fields) for s in (True, False))
    variables = filled_variables(looped, (32, 32, 3))
    apart = {}
    for collection, tree in variables.items():
        apart[collection] = {}
        for name, value in tree.items():
            apart[collection][name] = dict(value)
            if "rest" in value:
                rest = apart[collection][name].pop("rest")
                for j in range(2):
                    apart[collection][name][f"block{j + 1}"] = jax.tree.map(
                        lambda a, j=j: a[j], rest
                    )
    assert jax.tree.map(jnp.shape, apart) == jax.tree.map(
        lambda a: a.shape, abstract_variables(unrolled, (32, 32, 3))
    )
    for train in (False, True):
        how = {"train": train, "mutable": ["batch_stats"]}
        got, got_stats = run(looped, variables, X, **how)
        want, want_stats = run(unrolled, apart, X, **how)
        np.testing.assert_allclose(got, want, atol=1e-5)  # two compilations of the same sums
        np.testing.assert_allclose(
            got_stats["batch_stats"]["stage3"]["rest"]["bn2"]["mean"][1],
            want_stats["batch_stats"]["stage3"]["block2"]["bn2"]["mean"],
            atol=1e-5,
        )


@pytest.mark.parametrize(("depth", "parameters"), [(20, 272_474), (56, 855_770), (110, 1_730_714)])
def test_cifar_networks_with_option_b_have_the_known_counts(depth, parameters):
    """Counts of pytorchcv's projection networks; two projections cost 262,144 products."""
    model = create_model(f"resnet{depth}", shortcut="B")
    assert count_parameters(model, (32, 32, 3)) == parameters
    assert count_macs(model, (32, 32, 3)) == count_macs(f"resnet{depth}") + 262_144


def test_the_three_shortcuts_cost_what_the_paper_says():
    """A costs nothing, B projects where the shape changes, C in all 16 blocks of ResNet-34."""
    counts = {s: count_parameters(create_model("resnet34", shortcut=s), (64, 64, 3)) for s in "ABC"}
    assert counts["A"] == count_parameters("plain34")
    assert counts["B"] == count_parameters("resnet34")
    every = sum(n * (w * w + 2 * w) for n, w in ((3, 64), (3, 128), (5, 256), (2, 512)))
    assert counts["C"] == counts["B"] + every


def test_option_a_takes_every_second_pixel_and_adds_empty_channels(filled_variables, run):
    """With all residuals switched off a block is its shortcut."""
    model = create_model("resnet20", blocks=1, widths=(4, 8, 8), num_classes=None)
    variables = filled_variables(model, (32, 32, 3))
    params = {**variables["params"]}
    for stage in ("stage1", "stage2", "stage3"):
        block = params[stage]["block0"]
        params[stage] = {"block0": {**block, "bn2": jax.tree.map(jnp.zeros_like, block["bn2"])}}
    maps = run(model, {**variables, "params": params}, X)
    np.testing.assert_array_equal(maps["stage1"], maps["stem"])
    np.testing.assert_array_equal(maps["stage2"][..., 2:6], maps["stem"][:, ::2, ::2])
    assert not maps["stage2"][..., :2].any() and not maps["stage2"][..., 6:].any()


def test_the_kind_of_block_is_a_field():
    class OnlyShortcut(BasicBlock):
        @nn.compact
        def __call__(self, x, train):
            return self.shortcut(self.features, self.strides, name="shortcut")(x, train)

    basic = create_model("resnet50", stages=(2, 2, 2, 2), block=BasicBlock)
    assert count_parameters(basic, (64, 64, 3)) == count_parameters("resnet18")
    own = create_model("resnet50", stages=(1, 1), width=4, block=OnlyShortcut)
    params = abstract_variables(own, (32, 32, 3))["params"]
    assert set(params) == {"stem", "stage2", "head"}  # the first stage has nothing to learn
    assert params["stage2"]["block0"]["shortcut"]["conv"]["kernel"].shape == (1, 1, 4, 8)
    bound = create_model("resnet50", block=partial(Bottleneck, width_factor=2))
    assert count_parameters(bound, (64, 64, 3)) == count_parameters("wide_resnet50_2")


@pytest.mark.parametrize("field", [{"v1": True}, {"width_factor": 2}])
def test_fields_of_a_bottleneck_are_refused_with_another_block(field):
    with pytest.raises(ValueError, match="v1 and width_factor are fields of Bottleneck"):
        count_parameters(create_model("resnet18", **field), (64, 64, 3))


def test_zero_gamma_starts_every_block_as_its_shortcut(filled_variables, run, quick_jit):
    model = create_model(
        "resnet50", stages=(2, 1), width=4, zero_gamma=True, shortcut="A", num_classes=None
    )
    variables = quick_jit(model.init)(jax.random.key(0), X)
    maps = run(model, variables, X)
    pooled = jax.lax.reduce_window(
        maps["stem"],
        -np.inf,
        jax.lax.max,
        (1, 3, 3, 1),
        (1, 2, 2, 1),
        ((0, 0), (1, 1), (1, 1), (0, 0)),
    )
    np.testing.assert_array_equal(maps["stage1"][..., :4], pooled)
    np.testing.assert_array_equal(maps["stage2"][..., :4], pooled[:, ::2, ::2])


def test_v1_strides_in_the_first_convolution_and_v15_in_the_second(
    filled_variables, run, quick_jit
):
    """With v1 the odd pixels of a stage's input reach the next one through no path at all."""
    for name, seen in (("resnet50_v1", 0.25), ("resnet50", 1.0)):
        model = create_model(name, stages=(1, 1), width=4, num_classes=None)
        variables = filled_variables(model, (32, 32, 3))

        stage1 = run(model, variables, X)["stage1"]

        def block(x, model=model, variables=variables):
            def feed(call, args, kwargs, context):
                if context.module.path == ("stage2", "block0"):
                    args = (x, *args[1:])
                return call(*args, **kwargs)

            with nn.intercept_methods(feed):
                return model.apply(variables, X)["stage2"].sum()

        reached = np.any(quick_jit(jax.grad(block))(stage1) != 0, axis=(0, 3))
        assert reached.mean() == pytest.approx(seen, abs=0.1), name


def test_blocks_of_the_loop_start_different_from_each_other(quick_jit):
    model = create_model("resnet20", scan=True, blocks=3, widths=(2, 2, 2))
    variables = quick_jit(model.init)(jax.random.key(0), X[:, :8, :8])
    kernels = variables["params"]["stage1"]["rest"]["conv1"]["kernel"]
    assert kernels.shape == (2, 3, 3, 2, 2) and np.abs(kernels[0] - kernels[1]).max() > 0


def test_wrong_shortcuts_are_named():
    for name in ("resnet20", "resnet18"):
        with pytest.raises(ValueError, match=r"shortcut must be .*got 'D'"):
            abstract_variables(create_model(name, shortcut="D"), (32, 32, 3))


def test_statistics_across_devices_through_the_norm_field(filled_variables, run):
    """norm=partial(BatchNorm, axis_name=…): eight devices see the statistics of the whole batch."""
    fields = {"blocks": 1, "widths": (4, 4, 4)}
    alone = create_model("resnet20", **fields)
    spread = create_model("resnet20", norm=partial(BatchNorm, axis_name="batch"), **fields)
    x = np.random.RandomState(1).standard_normal((16, 8, 8, 3)).astype(np.float32)
    variables = filled_variables(alone, (8, 8, 3))
    how = {"train": True, "mutable": ["batch_stats"]}
    want, want_stats = run(alone, variables, x, **how)
    got, got_stats = jax.jit(
        jax.vmap(lambda x: spread.apply(variables, x, **how), axis_name="batch")
    )(x.reshape(8, 2, 8, 8, 3))
    np.testing.assert_allclose(got.reshape(16, -1), want, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, atol=1e-5), got_stats, want_stats)
