"""Folded and fused networks give what they gave, whatever family they are of."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model, list_models, model_info
from jaxnets.nn import BatchNorm, Conv, optimize_for_inference
from jaxnets.study.networks import sampled_variables

# The smallest network of each family, at the smallest image that it takes in a test.
REDUCED = {
    "alexnet": ("alexnet_2014", {}, 64),
    "resnet": ("resnet18", {}, 32),
    "densenet": ("densenet121", {}, 32),
    "mobilenet_v2": ("mobilenet_v2", {}, 32),
    "shufflenet_v2": ("shufflenet_v2_x0_5", {}, 32),
    "squeezenet": ("squeezenet1_1", {}, 32),
    "resnet_cifar": ("resnet20", {}, 32),
    "googlenet": ("googlenet_bn", {}, 32),
}


def lively(variables):
    """Scales, shifts and statistics that differ by channel, so that folding them can go wrong."""
    rng = np.random.default_rng(1)

    def leaf(path, a):
        if a.ndim != 1:
            return a
        low, high = (0.5, 1.5) if path[-1].key in ("scale", "var") else (-0.3, 0.3)
        return jnp.asarray(rng.uniform(low, high, a.shape), a.dtype)

    return jax.tree_util.tree_map_with_path(leaf, variables)


def difference(model, variables, x, **call) -> tuple[float, int]:
    optimized, folded = optimize_for_inference(model, variables, x, **call)
    got = jax.jit(optimized)(folded, x)
    want = jax.jit(lambda v, x: model.apply(v, x, train=False, **call))(variables, x)
    pairs = list(zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True))
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs), optimized.fused


class Block(nn.Module):
    """Everything that can be folded into one convolution, and what must not be."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        def layer(x, name, **options):
            x = Conv(8, (3, 3), padding=1, name=name, dtype=self.dtype, **options)(x)
            return BatchNorm(name=f"{name}_bn", dtype=self.dtype)(x, train=train)

        x = nn.relu(layer(x, "first"))
        y = jnp.clip(layer(x, "second", groups=2, use_bias=False), 0, 6)
        y = nn.relu(x + layer(y, "third"))  # a residual
        z = layer(y, "fourth") * 2.0 - 1.0
        # Read twice: neither addition nor activation may go into it.
        kept = z * jax.nn.sigmoid(z)
        own = nn.Conv(8, (3, 3), padding=1, name="flax", dtype=self.dtype)(kept)
        shifted = 3.0 - own / 2.0
        return jnp.tanh(shifted), -layer(kept, "last", strides=2)


@pytest.mark.parametrize(("dtype", "bound"), [(jnp.float32, 1e-5), (jnp.bfloat16, 6e-2)])
def test_all_that_is_folded_and_all_that_is_not(dtype, bound):
    block, x = Block(dtype), jax.random.normal(jax.random.key(0), (2, 12, 12, 8), dtype)
    variables = lively(block.init(jax.random.key(1), x, train=False))
    # bfloat16: folding moves roundings of 2⁻⁸ to other places, through six layers.
    error, fused = difference(block, variables, x)
    assert error <= bound and fused == 6
    # The residual, its ReLU, biases and norms are gone: what is left is z·σ(z).
    optimized, folded = optimize_for_inference(block, variables, x)
    text = str(jax.make_jaxpr(optimized)(folded, x))
    assert "rsqrt" not in text and text.count("logistic") == 1


def test_other_batches_sizes_and_transforms():
    block, x = Block(), jax.random.normal(jax.random.key(0), (3, 12, 12, 8))
    variables = lively(block.init(jax.random.key(1), x, train=False))
    optimized, folded = optimize_for_inference(block, variables, x[:1])

    def want(x):
        return block.apply(variables, x, train=False)

    run = jax.jit(optimized)
    for other in (x, x[:0], x[:2, :8, :10]):
        for a, b in zip(run(folded, other), jax.jit(want)(other), strict=True):
            # Values reach 15, where a rounding is 1e-6.
            np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-6)
    each = jax.jit(jax.vmap(optimized, (None, 0)))(folded, x[:, None])
    for a, b in zip(each, jax.jit(want)(x), strict=True):
        np.testing.assert_allclose(a[:, 0], b, atol=1e-5, rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: optimized(folded, x)[0].sum()))(x)
    expected = jax.jit(jax.grad(lambda x: want(x)[0].sum()))(x)
    np.testing.assert_allclose(gradient, expected, atol=1e-4)
    with pytest.raises(ValueError, match="variables: got 1 arrays"):
        optimized({"w0000": x}, x)


def test_an_example_is_found_by_trying():
    model = create_model("lenet5")
    variables = lively(sampled_variables(model, (32, 32, 1)))
    optimized, folded = optimize_for_inference(model, variables)
    x = jnp.ones((2, 32, 32, 1))
    np.testing.assert_allclose(
        optimized(folded, x), model.apply(variables, x, train=False), atol=1e-5
    )

    class Strange(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, name="fc")(x.reshape(-1, 17))

    with pytest.raises(ValueError, match="no example was given"):
        optimize_for_inference(Strange(), Strange().init(jax.random.key(0), jnp.ones((1, 17))))


def check(name, fields, side):
    model, info = create_model(name, **fields), model_info(name)
    shape = (side, side, info.input_shape[-1])
    variables = lively(sampled_variables(model, shape))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, *shape)), jnp.float32)
    error, fused = difference(model, variables, x)
    assert error <= 1e-5 and fused >= 1, (name, error, fused)


@pytest.mark.parametrize("name", ["resnet_cifar"])
def test_small_networks(name):
    check(*REDUCED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in REDUCED if n != "resnet_cifar"])
def test_one_network_of_every_large_family(name):
    check(*REDUCED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models(task="classification"))
def test_every_registered_network_can_be_traced_and_fused(name):
    """No arithmetic: shapes of what would be computed, and that nothing of the norms is left."""
    model, info = create_model(name), model_info(name)
    from jaxnets.models.counting import abstract_variables
    from jaxnets.nn.optimize_for_inference import OptimizedModel

    variables = abstract_variables(model, info.input_shape)
    x = jax.ShapeDtypeStruct((1, *info.input_shape), jnp.float32)
    optimized = OptimizedModel(model, variables, {"train": False})
    folded = jax.eval_shape(lambda v: optimized.prepare(v, x), variables)
    got = jax.eval_shape(optimized, folded, x)
    want = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, x)
    assert jax.tree.map(lambda a: a.shape, got) == jax.tree.map(lambda a: a.shape, want)
    assert "rsqrt" not in str(jax.make_jaxpr(optimized)(folded, x))
