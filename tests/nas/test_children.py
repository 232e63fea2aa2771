"""Children: decoded as the paper says, and the same under masks in one program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.nas import (
    ConvChild,
    ConvLayer,
    ConvPlan,
    MaskedChildren,
    Masks,
    architecture_gradient,
    conv_space,
    darts_architecture,
    decode_conv,
    discretize,
    draw_conv,
    masked_children,
    mixture,
    search_children,
)
from jaxnets.nas.conv_child import IMAGE, join
from jaxnets.study.data import Data, Part

SPACE = conv_space(3, heights=(1, 3), widths=(1, 2, 3), filters=(2, 4))


def architecture(skips, layers):
    """From {layer: sources} and (height, width, filters) indices."""
    tokens, layer_tokens = [], iter(layers)
    for layer in range(3):
        tokens += [int(source in skips.get(layer, ())) for source in range(layer)]
        tokens += next(layer_tokens)
    return tuple(tokens)


SHAPES = [(1, 0, 1), (0, 2, 0), (1, 2, 1)]
CASES = {
    "chain": ({1: [0], 2: [1]}, [(IMAGE,), (0,), (1,)], (2,)),
    "disconnected": ({}, [(IMAGE,)] * 3, (0, 1, 2)),
    "skip": ({2: [0]}, [(IMAGE,), (IMAGE,), (0,)], (1, 2)),
    "both": ({1: [0], 2: [0, 1]}, [(IMAGE,), (0,), (0, 1)], (2,)),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_without_inputs_and_outputs_that_nobody_uses(case):
    skips, inputs, outputs = CASES[case]
    plan = decode_conv(SPACE, architecture(skips, SHAPES))
    assert isinstance(plan, ConvPlan) and isinstance(plan.layers[0], ConvLayer)
    assert [layer.inputs for layer in plan.layers] == inputs and plan.outputs == outputs
    assert [(x.height, x.width, x.filters) for x in plan.layers] == [
        (3, 1, 4),
        (1, 3, 2),
        (3, 3, 4),
    ]


def test_without_skips_it_is_a_chain():
    plan = decode_conv(conv_space(3, skips=False), (0,) * 9)
    assert [layer.inputs for layer in plan.layers] == [(IMAGE,), (0,), (1,)] and plan.outputs == (
        2,
    )


def test_smaller_maps_are_padded_with_zeros():
    small, large = np.ones((1, 2, 3, 1)), 2 * np.ones((1, 4, 3, 2))
    found = np.asarray(join([small, large]))
    assert found.shape == (1, 4, 3, 3)
    assert found[0, :2, :, 0].all() and not found[0, 2:, :, 0].any() and (found[..., 1:] == 2).all()
    space = conv_space(2, heights=(3,), widths=(3,), filters=(4,), strides=(1, 2))
    plan = decode_conv(
        space, (0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0)
    )  # the first halves, both are outputs
    child = ConvChild(plan, num_classes=3)
    shapes = jax.eval_shape(child.init, jax.random.key(0), jnp.ones((1, 8, 8, 1)))["params"]
    assert shapes["head"]["kernel"].shape == (8, 3)


@pytest.mark.parametrize("case", ["skip", "both"])
def test_masks_are_the_small_network(case):
    """The largest network under masks computes what the decoded one does with its weights."""
    skips, _, _ = CASES[case]
    found = architecture(skips, SHAPES)
    children = MaskedChildren(SPACE, channels=1, num_classes=5)
    masks = children.masks(children.one_hot(found))
    assert isinstance(masks, Masks)
    params = children.init(jax.random.key(0), masks)
    plan = decode_conv(SPACE, found)
    small, maps = {}, {IMAGE: np.arange(1)}
    for number in range(3):
        maps[number] = 1 + 4 * number + np.arange(plan.layers[number].filters)
    for number, layer in enumerate(plan.layers):
        rows = slice((3 - layer.height) // 2, (3 - layer.height) // 2 + layer.height)
        begin = 1 - (layer.width - 1) // 2
        inputs = np.concatenate([maps[source] for source in layer.inputs])
        kernel = np.asarray(params[f"layer{number}"]["kernel"])
        kernel = kernel[rows, begin : begin + layer.width][:, :, inputs, : layer.filters]
        bias = np.asarray(params[f"layer{number}"]["bias"])[: layer.filters]
        small[f"layer{number}"] = {"kernel": kernel, "bias": bias}
        assert int(masks.kernels[number].sum()) == kernel.size
        assert float(masks.fan_in[number]) == np.prod(kernel.shape[:3])
    seen = np.concatenate([maps[number] - 1 for number in plan.outputs])
    head = np.asarray(params["head"]["kernel"])[seen]
    small["head"] = {"kernel": head, "bias": np.asarray(params["head"]["bias"])}
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 1)).astype(np.float32)
    expected = ConvChild(plan, num_classes=5, norm=None).apply({"params": small}, x)
    # Float32 sums in another order.
    np.testing.assert_allclose(children.apply(params, masks, x), expected, rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda p: children.apply(p, masks, x).sum())(params)
    for number in range(3):
        outside = np.asarray(masks.kernels[number]) == 0
        assert not np.asarray(gradient[f"layer{number}"]["kernel"])[outside].any()


def test_children_train_side_by_side_as_alone():
    space = conv_space(2, heights=(1, 3), widths=(3,), filters=(2, 4))
    children = MaskedChildren(space, channels=1, num_classes=2)
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 60)
    images = (
        random.standard_normal((60, 4, 4, 1)).astype(np.float32) + 2 * labels[:, None, None, None]
    )
    data = (images[:40], labels[:40], images[40:], labels[40:])
    both = [(0, 0, 0, 0, 0, 0, 0), (1, 0, 1, 1, 1, 0, 1)]
    keys = jax.random.split(jax.random.key(0), 2)
    options = {"steps": 30, "batch_size": 8, "learning_rate": 0.03}
    together = children.train(keys, both, *data, **options)
    assert together.shape == (2,) and together.max() > 0.8
    alone = children.train(keys[1:], both[1:], *data, **options)
    np.testing.assert_allclose(alone, together[1:], atol=0.11)  # two of twenty images


def test_many_images_are_measured_on_a_few_at_a_time(monkeypatch):
    """What lies in memory does not grow with them: a CIFAR-10 search wanted 26 GB at once."""
    random = np.random.default_rng(0)
    images = jnp.asarray(random.standard_normal((250, 8, 8, 1)), jnp.float32)
    labels = jnp.asarray(random.integers(0, 4, 250), jnp.int32)
    children = MaskedChildren(SPACE, channels=1, num_classes=4)
    keys = jax.random.split(jax.random.key(0), 2)
    both = [architecture(CASES[case][0], SHAPES) for case in ("chain", "skip")]
    found = {}
    for at_once in (100, 1000):
        monkeypatch.setattr(masked_children, "MEASURED", at_once)
        jax.clear_caches()
        found[at_once] = children.train(keys, both, images, labels, images, labels, steps=2)
    np.testing.assert_allclose(found[100], found[1000], atol=0.5 / 250)
    monkeypatch.undo()

    def temporary(count):
        arguments = keys, jnp.stack([children.one_hot(a) for a in both]), (images, labels)
        test = jnp.zeros((count, 8, 8, 1)), jnp.zeros(count, jnp.int32)
        program = masked_children._train.lower(*arguments, test, children, 2, 32, 1e-3).compile()
        return program.memory_analysis().temp_size_in_bytes

    few, many = temporary(100), temporary(2000)
    assert many - few < 2 * 1900 * 64 * 4 * 2  # the images themselves and their answers


def test_strides_have_no_masks():
    with pytest.raises(JaxnetsError, match="stride 1"):
        MaskedChildren(conv_space(2, strides=(1, 2)), channels=1, num_classes=2)


def test_the_picture(tmp_path):
    plan = decode_conv(SPACE, architecture({2: [0]}, SHAPES))
    assert draw_conv(plan, tmp_path / "x.png").stat().st_size > 5000


def test_darts_second_order_is_the_derivative_through_the_step(x64):
    """Beside finite differences of the validation loss after the step."""
    space = conv_space(1, heights=(1, 3), widths=(1,), filters=(2, 4, 8))
    random = np.random.default_rng(0)
    mix = jnp.asarray(random.standard_normal((3, 3)))
    w, alphas = jnp.asarray(random.standard_normal(3)), jnp.asarray(random.standard_normal((3, 3)))

    def train_loss(w, shares):
        return jnp.sum(jnp.sin(w @ (shares * mix)) ** 2)

    def validation_loss(w, shares):
        return jnp.sum((shares @ w - 1.0) ** 2)

    def after_step(alphas, rate):
        shares = mixture(space, alphas)
        return validation_loss(w - rate * jax.grad(train_loss)(w, shares), shares)

    for rate in (0.0, 0.3):
        found = architecture_gradient(
            train_loss, validation_loss, w, alphas, space=space, learning_rate=rate
        )
        for place in ((0, 0), (2, 1), (1, 0)):
            nudge = jnp.zeros((3, 3)).at[place].set(1e-6)
            slope = (after_step(alphas + nudge, rate) - after_step(alphas - nudge, rate)) / 2e-6
            assert float(found[place]) == pytest.approx(float(slope), abs=1e-7)


def test_darts_finds_the_useful_filter_size():
    """A mixture of masks descends the loss of a mean over three columns."""
    space = conv_space(1, heights=(1,), widths=(1, 3), filters=(2,))
    children = MaskedChildren(space, channels=1, num_classes=2)
    alphas = jnp.zeros((3, 2))
    shares = mixture(space, alphas)
    np.testing.assert_allclose(children.masks(shares).kernels[0][0, :, 0, 0], [0.5, 1, 0.5])
    gradient = architecture_gradient(
        lambda w, s: 0.0,
        lambda w, s: -children.masks(s).kernels[0].sum(),
        None,
        alphas,
        space=space,
    )
    assert discretize(space, alphas - gradient) == (0, 1, 0)


def test_darts_from_end_to_end_finds_the_rows_that_tell():
    """The classes differ in how neighboring columns agree, which 1 × 1 windows cannot see."""
    space = conv_space(1, heights=(1,), widths=(1, 3), filters=(2,))
    children = MaskedChildren(space, channels=1, num_classes=2)
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    signs = random.choice([-1.0, 1.0], (400, 4, 8, 1)).astype(np.float32)
    agreeing = np.broadcast_to(signs[:, :, :1], signs.shape)
    images = np.where(labels[:, None, None, None] == 1, agreeing, signs)
    halves = images[:200], labels[:200], images[200:], labels[200:]
    key = jax.random.key(0)
    found, shares = darts_architecture(key, children, *halves, steps=150)
    assert found == (0, 1, 0) and shares[1, 1] > 0.8
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    second, _ = darts_architecture(key, children, *halves, steps=100, second_order=True)
    assert second == (0, 1, 0)
    data = Data("made", Part(images[:300], labels[:300]), Part(images[300:], labels[300:]), 2)
    sizes = {"queries": 4, "together": 2, "steps": 80, "keys": 2, "random": 3}
    wide = conv_space(1, heights=(1,), widths=(1, 3), filters=(6,))
    result = search_children(None, data, space=space, compare_in=wide, **sizes)
    assert result.history.best == (0, 1, 0)
    assert (result.compared.found > 90).all()
    with pytest.raises(ValueError, match="needs the space"):
        search_children(None, data, **sizes)
    with pytest.raises(ValueError, match="has other choices"):
        search_children(None, data, space=space, compare_in=SPACE, **sizes)
