"""Receptive fields by the walk over the jaxpr, against tables, NaNs, gradients, a calculator."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.inspect import layer_table, receptive_fields
from jaxnets.models import create_model, list_models, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.nn import Conv, Dense
from jaxnets.ops import avg_pool, global_avg_pool, max_pool, relu
from jaxnets.ops.convolution.arithmetic import Layer as StackLayer
from jaxnets.ops.convolution.arithmetic import stack_cost

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


def seen_elements(model, shape):
    """For every endpoint, which input rows (columns) reach which rows (columns) of the output.

    A NaN in one row of the image comes through every sum, product and maximum that it enters, and
    through nothing else: an exact test of dependence, whatever the weights.

    Returns:
        Endpoint → one (input elements, output elements) mask an axis.
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
        conv = {"algorithm": "direct"}
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
    for endpoint, masks in seen_elements(model, shape).items():
        layer = fields[endpoint]
        for axis, mask in enumerate(masks):
            if not math.isfinite(layer.field[axis]):
                assert mask.all()
                continue
            half = (layer.field[axis] - 1) / 2
            for i in range(mask.shape[1]):
                center = layer.start[axis] + layer.jump[axis] * i
                low, high = max(center - half, 0), min(center + half, shape[axis] - 1)
                elements = np.flatnonzero(mask[:, i])
                assert (elements.min(), elements.max()) == (low, high), (endpoint, axis, i)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_receptive_fields_of_larger_networks_are_what_the_numbers_reach(name):
    test_receptive_fields_are_what_the_numbers_reach(name)


def test_receptive_field_is_the_support_of_the_gradient():
    """The derivative of one output element by the image is zero outside the field, and only there.

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

    def element(x):
        return model.apply(variables, x, train=False)[0, 5, 4, 0]

    support = np.asarray(jax.grad(element)(jnp.zeros((1, *shape))))[0, :, :, 0] != 0
    for axis, i in ((0, 5), (1, 4)):
        center = layer.start[axis] + layer.jump[axis] * i
        elements = np.flatnonzero(support.any(axis=1 - axis))
        assert (elements.min(), elements.max()) == (center - 7, center + 7)


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


def test_a_loop_over_blocks_is_what_the_blocks_are_one_by_one():
    looped, written = (
        create_model("resnet20", num_classes=None, blocks=4, scan=scan) for scan in (True, False)
    )
    fields = receptive_fields(looped, (32, 32, 3))
    found = {k: (f.field, f.jump, f.start, f.sees_all) for k, f in fields.items()}
    fields = receptive_fields(written, (32, 32, 3))
    assert found == {k: (f.field, f.jump, f.start, f.sees_all) for k, f in fields.items()}
    # One row stands for the same convolution of the three blocks behind a stage's first.
    tables = [{row.name: row for row in layer_table(m, (32, 32, 3))} for m in (looped, written)]
    for number in ("macs", "activations", "parameters"):
        wanted = sum(getattr(tables[1][f"stage2/block{i}/conv1"], number) for i in (1, 2, 3))
        assert getattr(tables[0]["stage2/rest/conv1"], number) == wanted


@pytest.mark.parametrize("name", ["resnet20", "googlenet", "vgg16", "fractalnet_c4"])
def test_strides_are_the_registry_s(name):
    info = model_info(name)
    fields = receptive_fields(create_model(name, num_classes=None), info.input_shape)
    # Of vectors, as f6 of LeNet-5, the registry says nothing.
    assert {k: layer.jump for k, layer in fields.items() if len(layer.shape) == 3} == {
        k: (stride, stride) for k, stride in info.feature_strides.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in list_models() if model_info(n).feature_strides])
def test_strides_are_the_registry_s_everywhere(name):
    test_strides_are_the_registry_s(name)
