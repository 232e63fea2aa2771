"""Backward methods: rules of rectifiers, poolings, normalizations; units; sums of attributions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import interpret, ops
from jaxnets.errors import UnknownNameError
from jaxnets.interpret import Unit
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables


def random_like(shapes, seed=0):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda s: (random.standard_normal(s.shape) / np.sqrt(max(1, s.size / s.shape[-1]))).astype(
            np.float32
        ),
        shapes,
    )


class Chain(nn.Module):
    """Two fully connected layers with a rectifier between, written in some way."""

    rectify: object

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(6, name="hidden")(x.reshape(len(x), -1))
        return nn.Dense(3, name="out")(self.rectify(x))


def branch(x):
    return jnp.where(x > 0, x, 0)


def looped(x):
    """A rectifier inside a loop, and inside a condition inside it."""

    def turn(carry, i):
        return jax.lax.cond(i >= 0, lambda c: jnp.maximum(c, 0), lambda c: c, carry), None

    return jax.lax.scan(turn, x, jnp.arange(1))[0]


WAYS = {
    "jax.nn.relu": jax.nn.relu,
    "flax.linen.relu": nn.relu,
    "ops.relu": ops.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum, turned": lambda x: jnp.maximum(0.0, x),
    "where": branch,
    "clip": lambda x: jnp.clip(x, 0),
    "compiled": jax.jit(lambda x: jnp.maximum(x, jnp.zeros_like(x))),
    "remat": jax.checkpoint(jax.nn.relu),
    "scan and cond": looped,
}


@pytest.mark.parametrize("way", WAYS)
def test_rectifiers_are_found_however_they_are_written(way):
    x = np.random.default_rng(1).standard_normal((2, 2, 2, 2)).astype(np.float32)
    model = Chain(WAYS[way])
    variables = random_like(abstract_variables(model, (2, 2, 2)))
    first, second = (variables["params"][name]["kernel"] for name in ("hidden", "out"))
    bias = variables["params"]["hidden"]["bias"]
    on = x.reshape(2, -1) @ first + bias > 0
    back = second[:, 1]
    expected = {
        interpret.saliency: on * back,
        interpret.deconvnet: np.broadcast_to(np.maximum(back, 0), on.shape),
        interpret.guided_backprop: on * np.maximum(back, 0),
    }
    assert len({v.tobytes() for v in expected.values()}) == 3
    for method, hidden in expected.items():
        found = method(model, variables, x, 1)
        np.testing.assert_allclose(found.reshape(2, -1), hidden @ first.T, atol=1e-6)


def test_other_activations_keep_their_derivative():
    for rectify in (jax.nn.gelu, lambda x: jnp.where(x > 0, x, 0.1 * x), jnp.tanh):
        x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 2, 2, 2)
        model = Chain(rectify)
        variables = random_like(abstract_variables(model, (2, 2, 2)))
        plain = interpret.saliency(model, variables, x, 0)
        np.testing.assert_array_equal(interpret.deconvnet(model, variables, x, 0), plain)


class Pooled(nn.Module):
    """A pooling and a weighted sum."""

    pool: object

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1, name="out")(self.pool(x).reshape(len(x), -1))


@pytest.mark.parametrize(
    "pool",
    [lambda x: ops.max_pool(x, 2), lambda x: nn.max_pool(x, (2, 2), strides=(2, 2))],
    ids=["ops", "flax"],
)
def test_poolings_send_the_signal_to_their_switches(pool):
    """Without overlap this is what max_unpool2d does: every value to the place it came from."""
    x = np.random.default_rng(0).permutation(32.0 * np.arange(32)).reshape(2, 4, 4, 1)
    x = x.astype(np.float32)
    model = Pooled(pool)
    variables = random_like(abstract_variables(model, (4, 4, 1)))
    weights = variables["params"]["out"]["kernel"].reshape(2, 2)
    expected = np.zeros_like(x)
    for n, i, j in np.ndindex(2, 2, 2):
        window = x[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 0]
        a, b = np.unravel_index(window.argmax(), (2, 2))
        expected[n, 2 * i + a, 2 * j + b, 0] = weights[i, j]
    found = interpret.deconvnet(model, variables, x, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum((1, 2, 3)), weights.sum(), rtol=1e-5)


def test_overlapping_windows_add_up():
    """A place that wins two windows gets both signals, which max_unpool2d would overwrite."""
    x = jnp.array([0.0, 0.0, 9.0, 0.0, 0.0]).reshape(1, 1, 5, 1)
    model = nn.Sequential([lambda x: ops.max_pool(x, (1, 3), strides=2).reshape(1, 1, 1, 2)])
    found = interpret.deconvnet(model, {}, x, Unit(None, np.array([0])))
    both = interpret.deconvnet(model, {}, x, Unit(None, 1)) + found
    assert both.ravel().tolist() == [0, 0, 2, 0, 0]


def test_local_response_normalization_is_passed_as_it_is_or_differentiated():
    x = jnp.array([1.0, 2.0, -3.0, 4.0]).reshape(1, 1, 1, 4)
    model = nn.Sequential([lambda x: ops.local_response_norm(x, alpha=0.5)])
    unit = Unit(None, 1)
    through = interpret.deconvnet(model, {}, x, unit)
    assert through.ravel().tolist() == [0, 1, 0, 0]
    gradient = jax.grad(lambda x: ops.local_response_norm(x, alpha=0.5)[0, 0, 0, 1])(x)
    found = interpret.deconvnet(model, {}, x, unit, lrn="gradient")
    np.testing.assert_allclose(found, gradient, rtol=1e-6)
    np.testing.assert_allclose(interpret.saliency(model, {}, x, unit), gradient, rtol=1e-6)


def test_a_linear_network_has_one_answer(planted):
    model, x = nn.Sequential([nn.Conv(4, (3, 3)), lambda x: x.mean((1, 2))]), planted.images[:2]
    variables = random_like(jax.eval_shape(model.init, jax.random.key(0), x))
    found = [
        m(model, variables, x, 2)
        for m in (interpret.saliency, interpret.deconvnet, interpret.guided_backprop)
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)
    # Transposed filters: the gradient of a convolution is the convolution with turned filters.
    one = interpret.deconvnet(model, variables, x, Unit("layers_0", 2, (9, 9)))
    kernel = variables["params"]["layers_0"]["kernel"][..., 2]
    np.testing.assert_allclose(one[0, 8:11, 8:11], kernel, rtol=1e-6)
    assert float(jnp.abs(one).sum()) == pytest.approx(2 * np.abs(kernel).sum(), rel=1e-5)


def test_units_are_what_they_say(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:3]

    def third(x):
        return model.apply(variables, x, capture_intermediates=True)[1]["intermediates"]["third"][
            "__call__"
        ][0]

    value = third(jnp.asarray(x))
    channel = value.max((1, 2)).argmax(-1)
    flat = value.reshape(3, -1, value.shape[-1])
    place = flat[jnp.arange(3), :, channel].argmax(-1)
    where = jnp.stack([place // value.shape[2], place % value.shape[2]], -1)
    expected = jax.grad(lambda x: third(x)[jnp.arange(3), where[:, 0], where[:, 1], channel].sum())(
        jnp.asarray(x)
    )
    for unit in (
        Unit("third", None, "strongest"),
        Unit("third", channel, "strongest"),
        Unit("third", channel, where),
    ):
        found = interpret.saliency(model, variables, x, unit)
        np.testing.assert_allclose(found, expected, atol=1e-5 * float(jnp.abs(expected).max()))
    whole = jax.grad(lambda x: third(x).sum((1, 2))[:, 5].sum())(jnp.asarray(x))
    found = interpret.saliency(model, variables, x, Unit("third", 5))
    np.testing.assert_allclose(found, whole, atol=1e-5 * float(jnp.abs(whole).max()))


def test_images_do_not_see_each_other(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:3]
    together = interpret.guided_backprop(model, variables, x)
    alone = interpret.guided_backprop(model, variables, x[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_integrated_gradients_add_up_to_the_difference(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:3]
    labels = planted.labels[:3]
    found = interpret.integrated_gradients(model, variables, x, labels, baseline=0.1, steps=100)
    run = jax.jit(model.apply)
    logits, empty = run(variables, x), run(variables, np.full_like(x, 0.1))
    difference = (logits - empty)[np.arange(3), labels]
    # The rule's error: the network is piecewise linear along the line.
    np.testing.assert_allclose(found.sum((1, 2, 3)), difference, rtol=0.03)


def test_smooth_grad_is_the_mean_over_noise(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:2]
    key = jax.random.key(3)
    labels = jax.jit(model.apply)(variables, x).argmax(-1)
    spread = 0.2 * (x.max((1, 2, 3)) - x.min((1, 2, 3)))[:, None, None, None]
    expected = np.mean(
        [
            interpret.saliency(model, variables, x + spread * jax.random.normal(k, x.shape), labels)
            for k in jax.random.split(key, 2)
        ],
        axis=0,
    )
    found = interpret.smooth_grad(key, model, variables, x, samples=2, noise=0.2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain = interpret.saliency(model, variables, x)
    none = interpret.smooth_grad(key, model, variables, x, samples=1, noise=0.0)
    np.testing.assert_allclose(none, plain, atol=1e-7)


def test_pixel_maps():
    g = jnp.array([[[[3.0, -4.0]]]])
    assert [interpret.pixel_map(g, how).item() for how in ("largest", "sum", "norm")] == [4, -1, 5]
    with pytest.raises(ValueError, match="reduce: got 'max'"):
        interpret.pixel_map(g, "max")


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_endpoints_of_registered_networks_are_targets(name):
    fields = {"blocks": 1, "widths": (4, 4, 4)} if name == "resnet20" else {}
    model = create_model(name, num_classes=4, **fields)
    side = 33 if name == "lenet5" else 17  # odd sizes, a single image
    shape = (side, side, 1 if name == "lenet5" else 3)
    variables = random_like(abstract_variables(model, shape))
    variables = jax.tree.map(np.abs, variables) if name == "resnet20" else variables
    x = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    layer = "c3" if name == "lenet5" else "stage2"
    backbone = model.clone(num_classes=None)
    expected = jax.grad(lambda x: backbone.apply(variables, x)[layer][..., 2].sum())(x)
    found = interpret.saliency(model, variables, x, Unit(layer, 2))
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1e-3, np.abs(expected).max()))


def test_bad_input_is_refused(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:2]
    refusals = [
        (lambda: interpret.saliency(model, variables, x, "thrid"), "Did you mean 'third'"),
        (lambda: interpret.saliency(model, variables, x, 3), "the output has 3 channels"),
        (lambda: interpret.saliency(model, variables, x, -1), "got -1; expected a number from 0"),
        (lambda: interpret.saliency(model, variables, x, [0, 1, 2]), "one .*for each of 2 images"),
        (lambda: interpret.saliency(model, variables, x, 0.5), "expected one integer"),
        (lambda: interpret.saliency(model, variables, x[0], 0), r"A single image needs x\[None\]"),
        (lambda: interpret.saliency(model, variables, x.astype(int), 0), "expected floating"),
        (
            lambda: interpret.saliency(model, variables, x, Unit("third", 0, (99, 0))),
            r"position: got \(99, 0\); 'third' has 16×16 positions",
        ),
        (
            lambda: interpret.saliency(model, variables, x, Unit("third", 0, "middle")),
            "expected .*'strongest' or None",
        ),
        (lambda: interpret.deconvnet(model, variables, x, 0, lrn="no"), "lrn: got 'no'"),
        (lambda: interpret.integrated_gradients(model, variables, x, steps=0), "steps: got 0"),
        (
            lambda: interpret.integrated_gradients(model, variables, x, baseline=np.ones(7)),
            "does not broadcast",
        ),
        (
            lambda: interpret.smooth_grad(jax.random.key(0), model, variables, x, noise=-1),
            "noise: got -1",
        ),
        (
            lambda: interpret.smooth_grad(jax.random.key(0), model, variables, x, samples=0),
            "samples: got 0",
        ),
    ]
    for call, message in refusals:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(UnknownNameError):
        interpret.saliency(model, variables, x, "nothing like it")


def test_a_layer_that_is_called_twice_is_refused():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(3, name="again")
            return layer(layer(x.mean((1, 2))))

    model, x = Twice(), jnp.ones((1, 2, 2, 3))
    variables = model.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="'again' is called 2 times"):
        interpret.saliency(model, variables, x, "again")
