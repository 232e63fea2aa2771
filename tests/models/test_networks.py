"""What holds for every network: shapes, gradients, state, precision, features, compilation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue_networks import NETWORKS
from jax.tree_util import keystr, tree_leaves_with_path

from jaxnets.models import create_model, features, list_models, model_info
from jaxnets.models.counting import abstract_variables

CLASSES = 10


def test_the_catalogue_covers_every_registered_network():
    """Of each family every class of network."""
    covered = {(model_info(n.name).family, type(create_model(n.name))) for n in NETWORKS.values()}
    registered = {
        (model_info(name).family, type(create_model(name)))
        for name in list_models(task="classification")
    }
    assert registered == covered


def make(tiny):
    return create_model(tiny.name, num_classes=CLASSES, **tiny.fields)


def images(shape, batch=4, seed=1):
    return np.random.RandomState(seed).standard_normal((batch, *shape)).astype(np.float32)


def loss_and_updates(model, variables, x, y):
    """Loss, new batch statistics, logits, in training mode."""

    def loss_fn(params):
        logits, updates = model.apply(
            {**variables, "params": params},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, (logits, updates)

    return jax.value_and_grad(loss_fn, has_aux=True)(variables["params"])


def test_training_reaches_every_parameter_and_statistic(tiny, filled_variables, quick_jit):
    model = make(tiny)
    variables = filled_variables(model, tiny.shape)
    x, y = images(tiny.shape), np.arange(4)
    step = quick_jit(lambda v, x, y: loss_and_updates(model, v, x, y))
    (loss, (logits, updates)), grads = step(variables, x, y)
    assert logits.shape == (4, CLASSES) and logits.dtype == jnp.float32
    assert np.isfinite(loss)
    for path, grad in tree_leaves_with_path(grads):
        assert np.all(np.isfinite(grad)), keystr(path)
        assert np.any(grad != 0), f"no gradient reaches {keystr(path)}"
    old, new = variables.get("batch_stats", {}), updates.get("batch_stats", {})
    assert jax.tree.structure(old) == jax.tree.structure(new)
    for (path, before), after in zip(tree_leaves_with_path(old), jax.tree.leaves(new), strict=True):
        assert np.any(before != after), f"training leaves {keystr(path)} as it was"
    step(jax.tree.map(lambda a: a + 1, variables), x + 1, y)
    assert step._cache_size() == 1, "the second call compiled again"


def test_evaluation_changes_nothing_and_agrees_with_its_features(tiny, filled_variables, quick_jit):
    model = make(tiny)
    variables = filled_variables(model, tiny.shape)
    x = images(tiny.shape)

    @quick_jit
    def evaluate(variables, x):
        logits, updates = model.apply(variables, x, train=False, mutable=["batch_stats"])
        return logits, updates, features(model, variables, x)

    logits, updates, maps = evaluate(variables, x)
    assert logits.shape == (4, CLASSES) and np.all(np.isfinite(logits))
    jax.tree.map(
        np.testing.assert_array_equal,
        updates.get("batch_stats", {}),
        variables.get("batch_stats", {}),
    )
    assert all(np.all(np.isfinite(m)) for m in maps.values())
    # Images are independent of each other in evaluation; float32 sums differ in their order.
    alone = evaluate(variables, x[:1])[0]
    np.testing.assert_allclose(alone[0], logits[0], rtol=1e-4, atol=1e-4 * np.abs(logits).max())


def test_initialization_is_finite_and_alike_for_the_same_key(tiny):
    model = make(tiny)
    x = jnp.zeros((1, *tiny.shape))
    shapes = abstract_variables(model, tiny.shape)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    # Under another dtype the parameters stay float32 and have the same names.
    assert abstract_variables(model.clone(dtype=jnp.bfloat16), tiny.shape) == shapes
    # A training-mode initialization makes the same variables.
    trained = jax.eval_shape(
        lambda k: model.init({"params": k, "dropout": k}, x, train=True), jax.random.key(0)
    )
    assert trained == shapes


def test_bfloat16_reaches_every_layer(tiny):
    """Feature maps are bfloat16, every convolution and product runs in it, logits are float32."""
    model = make(tiny).clone(dtype=jnp.bfloat16)
    variables = abstract_variables(model, tiny.shape)
    x = jax.ShapeDtypeStruct((2, *tiny.shape), jnp.float32)
    maps = jax.eval_shape(lambda v, x: features(model, v, x), variables, x)
    assert {name: m.dtype for name, m in maps.items()} == dict.fromkeys(maps, jnp.bfloat16)
    jaxpr = jax.make_jaxpr(lambda v, x: model.apply(v, x))(variables, x)
    assert jaxpr.out_avals[0].dtype == jnp.float32
    operations = list(_products(jaxpr.jaxpr))
    assert operations
    for eqn in operations:
        # Resizing the images (lenet5 on small ones) comes before the first layer.
        if sorted(v.aval.ndim for v in eqn.invars) == [2, 4]:
            continue
        assert {v.aval.dtype for v in eqn.invars} == {jnp.dtype(jnp.bfloat16)}, eqn


def _products(jaxpr):
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("conv_general_dilated", "dot_general"):
            yield eqn
        for value in eqn.params.values():
            for item in value if isinstance(value, tuple) else (value,):
                if hasattr(item, "jaxpr") or hasattr(item, "eqns"):
                    yield from _products(getattr(item, "jaxpr", item))


def test_backbone_ignores_the_head_and_keeps_the_order(tiny):
    model = make(tiny)
    backbone = model.clone(num_classes=None)
    variables = abstract_variables(backbone, tiny.shape)
    whole = abstract_variables(model, tiny.shape)
    # The targets of the original LeNet-5 are fixed; every other head has parameters of its own.
    head = set(whole["params"]) - set(variables["params"])
    assert bool(head) == (tiny.name != "lenet5_1998")
    x = jax.ShapeDtypeStruct((2, *tiny.shape), jnp.float32)
    maps = jax.eval_shape(lambda v, x: features(model, v, x), whole, x)
    sizes = [m.shape[1] for m in maps.values() if m.ndim == 4]
    assert sizes == sorted(sizes, reverse=True)
    assert set(model_info(tiny.name).feature_strides) >= {n for n in maps if maps[n].ndim == 4}


def test_input_errors_say_what_came_and_what_was_expected(tiny):
    model = make(tiny)
    variables = abstract_variables(model, tiny.shape)

    def apply(shape, dtype=jnp.float32):
        x = jax.ShapeDtypeStruct(shape, dtype)
        return jax.eval_shape(lambda v, x: model.apply(v, x), variables, x)

    height, width, channels = tiny.shape
    with pytest.raises(ValueError, match=r"\(batch, height, width, channels\), got 3 axes"):
        apply((height, width, channels))
    with pytest.raises(ValueError, match="floating-point images, got uint8"):
        apply((2, *tiny.shape), jnp.uint8)
    wrong = (2, height, width, channels + 1)
    expected = f"{height * width * channels} values" if tiny.name == "mlp" else f"{channels} chan"
    with pytest.raises(ValueError, match=f"expected images .*{expected}"):
        apply(wrong)
    if tiny.name != "mlp":
        with pytest.raises(ValueError, match=r"at least \d+, got \(1, 1\)"):
            apply((2, 1, 1, channels))
