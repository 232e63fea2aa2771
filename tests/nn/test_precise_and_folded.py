"""Exact statistics after training, and normalizations merged into their layers."""

from functools import partial

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model
from jaxnets.nn import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    fold_batch_norms,
    precise_batch_statistics,
)
from jaxnets.ops import relu


class Network(flax.linen.Module):
    norm: bool = True
    rate: float = 0.0

    @flax.linen.compact
    def __call__(self, x, *, train=False):
        x = Conv(6, (3, 3), padding=1, use_bias=not self.norm, name="conv1")(x)
        if self.norm:
            x = BatchNorm(name="bn1")(x, train=train)
        x = relu(x)
        x = Conv(4, (3, 3), groups=2, name="conv2")(x)
        if self.norm:
            x = BatchNorm(name="bn2", use_scale=False)(x, train=train)
        x = Dropout(self.rate, name="dropout")(relu(x).mean((1, 2)), train=train)
        return Dense(3, name="fc")(x)


def batches(sizes=(8, 8, 5)):
    random = np.random.default_rng(0)
    return [
        jnp.asarray(random.standard_normal((n, 5, 5, 2)) * (1 + i) + i, jnp.float32)
        for i, n in enumerate(sizes)
    ]


@pytest.fixture(scope="module")
def variables():
    return jax.jit(Network().init)(jax.random.key(0), batches()[0])


conv1 = jax.jit(Conv(6, (3, 3), padding=1, use_bias=False).apply)
conv2 = jax.jit(Conv(4, (3, 3), groups=2).apply)


def seen_by_each_layer(variables):
    """For each batch, the inputs of both normalizations in training mode, in float64."""
    p = variables["params"]
    seen = {"bn1": [], "bn2": []}
    for x in batches():
        h = np.asarray(conv1({"params": p["conv1"]}, x))
        h = h.astype(np.float64)
        seen["bn1"].append(h.reshape(-1, 6))
        h = (h - h.mean((0, 1, 2))) / np.sqrt(h.var((0, 1, 2)) + 1e-5)
        h = jnp.asarray(np.maximum(h, 0), jnp.float32)  # bn1 as initialized: scale 1, bias 0
        h = conv2({"params": p["conv2"]}, h)
        seen["bn2"].append(np.asarray(h, np.float64).reshape(-1, 4))
    return seen


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("method", ["average", "pooled"])
def test_precise_statistics(variables, method, unbiased):
    statistics = precise_batch_statistics(
        Network().apply, variables, batches(), method=method, unbiased=unbiased
    )
    assert jax.tree.structure(statistics) == jax.tree.structure(variables["batch_stats"])
    for name, seen in seen_by_each_layer(variables).items():
        ddof = int(unbiased)
        if method == "pooled":
            rows = np.concatenate(seen)
            mean, var = rows.mean(0), rows.var(0, ddof=ddof)
        else:
            counts = [len(rows) for rows in seen]
            mean = np.average([rows.mean(0) for rows in seen], axis=0, weights=counts)
            var = np.average([rows.var(0, ddof=ddof) for rows in seen], axis=0, weights=counts)
        # The network itself computes in float32.
        np.testing.assert_allclose(statistics[name]["mean"], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(statistics[name]["var"], var, rtol=1e-4)


def test_one_batch_makes_evaluation_equal_to_training(variables):
    """With exactly the batch's own statistics, training and evaluation agree."""
    batch = batches()[0]
    statistics = precise_batch_statistics(Network().apply, variables, [batch], unbiased=False)
    tested = jax.jit(Network().apply)({**variables, "batch_stats": statistics}, batch)
    train = partial(Network().apply, train=True, mutable=["batch_stats"])
    trained, _ = jax.jit(train)(variables, batch)
    np.testing.assert_allclose(tested, trained, rtol=1e-4, atol=1e-5)


def test_a_network_with_dropout_gets_its_keys(variables):
    apply = Network(rate=0.5).apply
    rngs = {"dropout": jax.random.key(0)}
    with_dropout = precise_batch_statistics(apply, variables, batches(), rngs=rngs)
    without = precise_batch_statistics(Network().apply, variables, batches())
    jax.tree.map(np.testing.assert_array_equal, with_dropout, without)  # it comes after them


def test_a_layer_applied_twice_pools_both_inputs():
    class Twice(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, x, *, train):
            norm = BatchNorm(name="bn", use_scale=False, use_bias=False)
            return norm(x, train=train) + norm(3 * x[:2] + 1, train=train).sum()

    x = jnp.asarray(np.random.default_rng(0).standard_normal((6, 2)), jnp.float32)
    variables = Twice().init(jax.random.key(0), x, train=False)
    statistics = precise_batch_statistics(Twice().apply, variables, [x], unbiased=False)
    rows = np.concatenate([x, 3 * x[:2] + 1])
    np.testing.assert_allclose(statistics["bn"]["mean"], rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(statistics["bn"]["var"], rows.var(0), rtol=1e-5)


def test_mistakes_of_precise_statistics_are_named(variables):
    with pytest.raises(ValueError, match=r"batches: expected at least one"):
        precise_batch_statistics(Network().apply, variables, [])
    with pytest.raises(ValueError, match=r"method: got 'mean'; expected 'average' or 'pooled'"):
        precise_batch_statistics(Network().apply, variables, [], method="mean")
    plain = {"params": {}, "batch_stats": {"other": {"mean": jnp.zeros(1), "var": jnp.ones(1)}}}
    with pytest.raises(ValueError, match=r"apply: no moments of other were recorded"):
        precise_batch_statistics(lambda *_, **__: (0, {}), plain, [jnp.ones(1)])


def test_folded_network_computes_the_same(variables):
    random = np.random.default_rng(3)
    trained = jax.tree.map(
        lambda leaf: jnp.asarray(random.uniform(0.5, 1.5, leaf.shape), leaf.dtype), variables
    )
    folded = fold_batch_norms(trained, {"conv1": "bn1", "conv2": "bn2"})
    assert set(folded) == {"params"}
    assert set(folded["params"]) == {"conv1", "conv2", "fc"}
    assert "bn1" in trained["params"], "the variables handed in are left as they are"
    expected = jax.jit(Network().apply)(trained, batches()[0])
    computed = jax.jit(Network(norm=False).apply)(folded, batches()[0])
    # Sums of up to 54 products of numbers around 1, once more rounded.
    np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-5)


def test_folding_only_some_leaves_the_others(variables):
    folded = fold_batch_norms(variables, {"conv2": "bn2"})
    assert set(folded["batch_stats"]) == {"bn1"}
    assert set(folded["params"]["conv1"]) == {"kernel"}


def test_mistakes_of_folding_are_named(variables):
    with pytest.raises(ValueError, match=r"pairs: 'conv' is not .* linear layer.*'conv1'"):
        fold_batch_norms(variables, {"conv": "bn1"})
    with pytest.raises(ValueError, match=r"pairs: 'bn3' is not .* batch normalization.*'bn1'"):
        fold_batch_norms(variables, {"conv1": "bn3"})


def test_scanned_blocks_have_precise_statistics_too():
    """One block compiled and looped over: the statistics of its layers are stacked."""
    fields = {"blocks": 3, "widths": (4, 4, 4), "num_classes": 2}
    looped = create_model("resnet1202", **fields)
    spelled = create_model("resnet20", **fields)
    x = np.random.default_rng(0).normal(size=(3, 4, 8, 8, 3)).astype(np.float32)
    variables = jax.jit(looped.init)(jax.random.key(0), x[0])

    def unstack(tree):
        out = dict(tree)
        for stage in ("stage1", "stage2", "stage3"):
            rest = tree[stage]["rest"]
            blocks = {f"block{i + 1}": jax.tree.map(lambda a, i=i: a[i], rest) for i in range(2)}
            out[stage] = {"block0": tree[stage]["block0"], **blocks}
        return out

    found = precise_batch_statistics(looped.apply, variables, x)
    assert found["stage1"]["rest"]["bn1"]["mean"].shape == (2, 4)
    alike = {name: unstack(tree) for name, tree in variables.items()}
    expected = precise_batch_statistics(spelled.apply, alike, x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        unstack(found),
        expected,
    )
