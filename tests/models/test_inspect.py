"""Layer tables, receptive fields and design principles, against other people's and other ways."""

import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import UnknownNameError
from jaxnets.models import count_macs, create_model, list_models, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.models.inspect import (
    accuracies,
    as_markdown,
    as_text,
    check_principles,
    layer_table,
    model_cards,
    receptive_fields,
    stages,
    totals,
    trace_network,
)
from jaxnets.nn import Conv, Dense
from jaxnets.ops import avg_pool, global_avg_pool, max_pool, relu
from jaxnets.ops.convolution.arithmetic import Layer as StackLayer
from jaxnets.ops.convolution.arithmetic import stack_cost

# Quick to trace; one of every kind of wiring.
QUICK = ("lenet5_1998", "mlp", "alexnet", "vgg16", "resnet20", "squeezenet1_1", "nin_imagenet")
QUICK += ("googlenet", "mobilenet_v1_025", "shufflenet_v1_g3", "fractalnet_c4")


def test_vgg16_is_the_lecture_slide_with_the_right_sum():
    layers = layer_table("vgg16")
    sums = totals(layers)
    # CS231n's rows, added up by hand: input, 13 convolutions, 5 poolings, 3 connected layers.
    maps = [224**2 * c for c in (3, 64, 64)] + [112**2 * c for c in (64, 128, 128)]
    maps += [56**2 * c for c in (128, 256, 256, 256)] + [28**2 * c for c in (256, 512, 512, 512)]
    maps += [14**2 * 512] * 4 + [7**2 * 512, 4096, 4096, 1000]
    assert [layer.activations for layer in layers] == maps
    assert sums.activations == sum(maps) == 15_237_608
    rows = {layer.name: layer for layer in layers}
    assert rows["fc6"].parameters == 102_764_544
    assert sums.parameters == 138_357_544 and sums.macs == 15_470_264_320
    # Three 3×3 see as much as one 7×7 (notes L233), here the third stage's, 4 pixels apart.
    stage3 = [rows[f"stage3_conv{j}"].field[0] for j in (1, 2, 3)]
    assert stage3[2] - rows["pool2"].field[0] == (7 - 1) * 4
    assert rows["fc6"].sees_all and not rows["pool5"].sees_all


@pytest.mark.parametrize("name", QUICK)
def test_sums_are_the_registry_s(name):
    sums = totals(layer_table(name))
    info = model_info(name)
    assert (sums.parameters, sums.macs) == (info.parameters, info.macs)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(list_models()) - set(QUICK)))
def test_sums_are_the_registry_s_everywhere(name):
    test_sums_are_the_registry_s(name)


# Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
# table 1: receptive field of the last map, and its stride.
DISTILL = {
    "alexnet_2014": (195, 32),
    "vgg16": (212, 32),
    "mobilenet_v1": (315, 32),
    "resnet50_v1": (483, 32),
    "resnet101_v1": (1027, 32),
    "resnet152_v1": (1507, 32),
    "inception_v3": (1311, 32),
}


@pytest.mark.parametrize("name", ["alexnet_2014", "vgg16", "mobilenet_v1", "resnet50_v1"])
def test_receptive_fields_are_distill_s(name):
    backbone = create_model(name, num_classes=None)
    *_, last = receptive_fields(backbone, model_info(name).input_shape).values()
    assert (last.field[0], last.jump[0]) == DISTILL[name]
    assert last.field[0] == last.field[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet101_v1", "resnet152_v1", "inception_v3"])
def test_receptive_fields_of_large_networks_are_distill_s(name):
    test_receptive_fields_are_distill_s(name)


def seen_cells(model, shape):
    """For every endpoint, which input rows (columns) reach which rows (columns) of the output.

    A NaN in one row of the image comes through every sum, product and maximum that it enters, and
    through nothing else: an exact test of dependence, whatever the weights.

    Returns:
        Endpoint → one (input cells, output cells) mask an axis.
    """
    rng = np.random.default_rng(0)
    # Not by init, whose compilation would take ten times as long as all the rest.
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 1, leaf.shape), leaf.dtype),
        abstract_variables(model, shape),
    )
    clean = jnp.asarray(rng.normal(size=shape), jnp.float32)
    rows = [clean.at[i].set(jnp.nan) for i in range(shape[0])]
    columns = [clean.at[:, i].set(jnp.nan) for i in range(shape[1])]
    with nn.intercept_methods(as_direct):
        run = jax.jit(lambda v, x: model.apply(v, x, train=False))
        outputs = run(variables, jnp.stack(rows + columns))
    reached = {}
    for name, y in outputs.items():
        bad = np.isnan(np.asarray(y))
        reached[name] = (
            bad[: shape[0]].any(axis=(2, 3)),
            bad[shape[0] :].any(axis=(1, 3)),
        )
    return reached


class Rectangles(nn.Module):
    """Unequal windows, strides, dilation and padding along the two axes; branches; a gate."""

    @nn.compact
    def __call__(self, x, *, train):
        out = {}
        conv = dict(algorithm="direct")
        x = out["a"] = Conv(4, (3, 5), (2, 1), [(0, 1), (3, 0)], name="a", **conv)(x)
        y = Conv(4, (1, 3), padding=(0, 2), dilation=(1, 2), name="b", **conv)(relu(x))
        x = out["b"] = jnp.concatenate([max_pool(x, 3, strides=1, padding=1), y], -1)
        x = out["c"] = avg_pool(x, (2, 3), strides=(2, 2), ceil_mode=True)
        gate = nn.sigmoid(Dense(8, name="gate")(global_avg_pool(x, keepdims=True)))
        out["d"] = x + Conv(8, (3, 1), padding=(1, 0), name="d", **conv)(x)
        out["e"] = gate * x
        return out


def as_direct(next_method, args, kwargs, context):
    """FFT and Winograd carry a NaN to places that do not depend on it."""
    if isinstance(context.module, Conv) and context.method_name == "__call__":
        object.__setattr__(context.module, "algorithm", "direct")
    return next_method(*args, **kwargs)


SMALL = {
    "rectangles": (Rectangles(), (23, 26, 3)),
    "lenet5": (create_model("lenet5", num_classes=None), (32, 32, 1)),
    "fractalnet_c3": (create_model("fractalnet_c3", num_classes=None), (32, 32, 3)),
}
LARGER = {
    "resnet20": (create_model("resnet20", num_classes=None), (32, 32, 3)),
    "squeezenet1_1": (create_model("squeezenet1_1", num_classes=None), (65, 65, 3)),
    "nasnet_a_cifar": (create_model("nasnet_a_cifar", num_classes=None), (32, 32, 3)),
}


@pytest.mark.parametrize("name", SMALL)
def test_receptive_fields_are_what_the_numbers_reach(name):
    model, shape = {**SMALL, **LARGER}[name]
    fields = receptive_fields(model, shape)
    for endpoint, masks in seen_cells(model, shape).items():
        layer = fields[endpoint]
        for axis, mask in enumerate(masks):
            if not math.isfinite(layer.field[axis]):
                assert mask.all()
                continue
            half = (layer.field[axis] - 1) / 2
            for i in range(mask.shape[1]):
                centre = layer.start[axis] + layer.jump[axis] * i
                low, high = max(centre - half, 0), min(centre + half, shape[axis] - 1)
                cells = np.flatnonzero(mask[:, i])
                assert (cells.min(), cells.max()) == (low, high), (endpoint, axis, i)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_receptive_fields_of_larger_networks_are_what_the_numbers_reach(name):
    test_receptive_fields_are_what_the_numbers_reach(name)


def test_receptive_field_is_the_support_of_the_gradient():
    """The derivative of one output cell by the image is zero outside of the field, and only there.

    All weights one and no maximum: nothing cancels and nothing is passed over.
    """

    class Averages(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            ones = nn.initializers.ones_init()
            x = Conv(2, (5, 5), 2, 2, kernel_init=ones, name="a")(x)
            x = avg_pool(x, 2, strides=2)
            return Conv(1, (3, 3), padding=1, kernel_init=ones, name="b", algorithm="direct")(x)

    model, shape = Averages(), (40, 40, 1)
    variables = model.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    layer = receptive_fields(model, shape)
    assert (layer.field[0], layer.jump[0]) == (15, 4)

    def cell(x):
        return model.apply(variables, x, train=False)[0, 5, 4, 0]

    support = np.asarray(jax.grad(cell)(jnp.zeros((1, *shape))))[0, :, :, 0] != 0
    for axis, i in ((0, 5), (1, 4)):
        centre = layer.start[axis] + layer.jump[axis] * i
        cells = np.flatnonzero(support.any(axis=1 - axis))
        assert (cells.min(), cells.max()) == (centre - 7, centre + 7)


def test_a_plain_stack_is_the_calculator_s():
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = Conv(8, (7, 7), 2, 3, use_bias=False, name="a")(x)
            x = max_pool(x, 3, strides=2, padding=1)
            x = Conv(16, (3, 3), padding=2, dilation=2, groups=4, name="b")(x)
            return Conv(16, (1, 5), padding=(0, 2), name="c")(x)

    stack = [
        StackLayer(7, 8, 2, 3),
        StackLayer(3, None, 2, 1),
        StackLayer(3, 16, 1, 2, dilation=2, groups=4, use_bias=True),
        StackLayer((1, 5), 16, 1, (0, 2), use_bias=True),
    ]
    rows = layer_table(Stack(), (64, 48, 3))[1:]
    for row, cost in zip(rows, stack_cost(stack, (64, 48, 3)), strict=True):
        found = (row.parameters, row.macs, row.shape, row.field, row.jump, row.start)
        wanted = (cost.parameters, cost.macs, cost.shape, cost.field, cost.jump, cost.start)
        assert found == wanted


@pytest.mark.parametrize("name", ["resnet20", "googlenet", "vgg16", "fractalnet_c4"])
def test_strides_are_the_registry_s(name):
    info = model_info(name)
    fields = receptive_fields(create_model(name, num_classes=None), info.input_shape)
    assert {k: layer.jump for k, layer in fields.items()} == {
        k: (stride, stride) for k, stride in info.feature_strides.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in list_models() if model_info(n).feature_strides])
def test_strides_are_the_registry_s_everywhere(name):
    test_strides_are_the_registry_s(name)


def test_shared_weights_and_loops_are_counted_once_and_as_often():
    class Shared(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            layer = Conv(3, (3, 3), padding=1, name="twice")
            x = layer(layer(x))
            x = x.reshape(x.shape[0], -1)
            dense = Dense(x.shape[-1], name="often")
            kernel = dense.variables["params"]["kernel"] if not self.is_initializing() else None
            if kernel is None:
                return dense(x)
            return jax.lax.scan(lambda c, _: (jnp.tanh(c @ kernel), None), x, None, length=5)[0]

    layers = layer_table(Shared(), (6, 6, 3))
    assert [layer.name for layer in layers] == ["input", "twice", "often"]
    assert layers[1].parameters == 3 * 3 * 3 * 3 + 3
    assert layers[1].macs == 2 * 36 * 81 and layers[1].activations == 2 * 36 * 3
    assert layers[2].kind == "loop" and layers[2].macs == 5 * 108**2
    assert totals(layers).macs == count_macs(Shared(), (6, 6, 3))


# --- the four principles ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "resnet50"])
def test_the_networks_of_the_papers_keep_the_principles(name):
    checks = check_principles(name)
    assert len(checks) == 4
    for check in checks:
        assert check.holds and check.value <= check.limit, check


class Reduction(nn.Module):
    """From 35×35×320 to 17×17×640: figure 9, left and right, and figure 10 of the paper."""

    way: str

    @nn.compact
    def __call__(self, x, *, train):
        x = relu(Conv(320, (1, 1), name="before")(x))
        pool = max_pool(x, 3, strides=2)
        if self.way == "pool first":
            x = Conv(640, (1, 1), name="widen")(pool)
        elif self.way == "convolve first":
            x = max_pool(Conv(640, (1, 1), name="widen")(x), 3, strides=2)
        else:
            x = jnp.concatenate([pool, Conv(320, (3, 3), 2, name="beside")(x)], -1)
        x = relu(Conv(640, (1, 1), name="after")(x))
        return Dense(10, name="fc")(global_avg_pool(x))


def test_pooling_before_widening_is_a_bottleneck():
    results = {
        way: check_principles(Reduction(way), (35, 35, 320))[0]
        for way in ("pool first", "convolve first", "beside each other")
    }
    assert not results["pool first"].holds
    assert results["pool first"].where.startswith("pool")
    # 17²·640 behind it, 17²·320 in it.
    assert results["pool first"].value == pytest.approx(2)
    assert results["convolve first"].holds and results["beside each other"].holds


def test_narrowing_full_width_and_imbalance_are_found():
    class Wrong(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = Conv(64, (3, 3), padding=1, name="wide")(x)
            x = Conv(64, (5, 5), padding=2, name="dear")(x)
            x = Conv(16, (3, 3), 2, 1, name="narrow")(x)
            return Dense(10, name="fc")(global_avg_pool(x))

    _, wider, embedding, balance = check_principles(Wrong(), (32, 32, 3))
    assert (wider.holds, wider.value, wider.where) == (False, 4.0, "narrow")
    assert (embedding.holds, embedding.value, embedding.where) == (False, 1.0, "dear")
    assert not balance.holds and balance.where == "32×32"


def test_stages_share_out_all_convolutions():
    layers = layer_table("resnet20")
    parts = stages(layers)
    assert [part.resolution for part in parts] == [(32, 32), (16, 16), (8, 8)]
    assert [part.width for part in parts] == [16, 32, 64]
    # 3n convolutions with n = 3, two each, and the stem; option A has no projection.
    assert [part.depth for part in parts] == [7, 6, 6]
    convs = [layer for layer in layers if layer.kind == "conv"]
    assert sum(part.macs for part in parts) == sum(layer.macs for layer in convs)


# --- text, numbers, mistakes --------------------------------------------------------------------


def test_text_and_markdown_hold_every_layer():
    layers = layer_table("lenet5_1998")
    text, markdown = as_text(layers), as_markdown(layers)
    for layer in layers:
        assert f"\n{layer.name} " in "\n" + text
        assert f"| {layer.name} |" in markdown
    assert "60,000 parameters" in text and "60,000 parameters" in markdown


def test_every_published_figure_is_read():
    for name in list_models():
        info = model_info(name)
        papers = [f for f in accuracies(info) if f.source == "paper"]
        assert bool(papers) == bool(info.published), (name, info.published)
        for figure in accuracies(info):
            for value in (figure.top1, figure.top5):
                assert value is None or 40 < value < 100, (name, figure)


def test_cards_have_a_line_for_every_network():
    lines = [line for line in model_cards().splitlines() if line.startswith("| `")]
    assert sorted(line.split("`")[1] for line in lines) == sorted(list_models())
    assert {line.count(" | ") for line in lines} == {7}


def test_mistakes_are_named():
    with pytest.raises(UnknownNameError, match="vgg16"):
        layer_table("vgg61")
    with pytest.raises(ValueError, match="input_shape"):
        layer_table(create_model("lenet5"))
    with pytest.raises(ValueError, match="32"):
        trace_network(create_model("vgg16"), (16, 16, 3))


def test_rows_are_plain_numbers():
    for layer in layer_table("lenet5"):
        json.dumps([layer.field, layer.jump, layer.start, layer.macs, layer.activations])
