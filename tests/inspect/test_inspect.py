"""Layer tables, receptive fields and design principles, against other people's and other ways."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxnets.errors import UnknownNameError
from jaxnets.inspect import (
    accuracies,
    as_markdown,
    as_text,
    check_principles,
    layer_table,
    model_cards,
    stages,
    totals,
    trace_network,
)
from jaxnets.models import count_macs, create_model, list_models, model_info
from jaxnets.nn import Conv, Dense
from jaxnets.ops import global_avg_pool, max_pool, relu

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
    # Three 3×3 see as much as one 7×7, here the third stage's, 4 pixels apart.
    stage3 = [rows[f"stage3/conv{j}"].field[0] for j in (1, 2, 3)]
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
    assert layers[2].kind == "dense" and layers[2].macs == 5 * 108**2
    assert layers[2].activations == 5 * 108 and layers[2].parameters == 108**2 + 108
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
            x = Conv(64, (5, 5), padding=2, name="costly")(x)
            x = Conv(16, (3, 3), 2, 1, name="narrow")(x)
            return Dense(10, name="fc")(global_avg_pool(x))

    _, wider, embedding, balance = check_principles(Wrong(), (32, 32, 3))
    assert (wider.holds, wider.value, wider.where) == (False, 4.0, "narrow")
    assert (embedding.holds, embedding.value, embedding.where) == (False, 1.0, "costly")
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
    for name in list_models(task="classification"):
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
