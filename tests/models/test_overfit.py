"""Every family of networks overfits 32 real digits: the first thing to try with a new network.

A plain run tries a quarter of the families, another quarter after the next commit; --slow tries
every network of the catalogue.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from catalogue_networks import NETWORKS, in_turn
from jax.tree_util import keystr, tree_leaves_with_path
from sklearn.datasets import load_digits
from turns import TURNS, turn

from jaxnets.models import create_model, list_models, model_info


def digits(shape, count=32):
    data = load_digits()
    x = data.images[:count, :, :, None].astype(np.float32) / 8 - 1
    x = jax.image.resize(x, (count, *shape[:2], 1), "linear")
    return np.asarray(np.repeat(x, shape[2], axis=-1)), data.target[:count]


def steps_to_overfit(model, x, y, jit, most=300):
    """Training steps until every example is right in evaluation, the last accuracy, and the names
    of the parameters that had a gradient which is not finite."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))
    # Keys of this kind compile faster.
    key = jax.random.key(0, impl="rbg")

    variables = jit(model.init)({"params": key, "dropout": key}, x[:1])
    state = jit(optimizer.init)(variables["params"])
    finite = jax.tree.map(lambda _: True, variables["params"])

    @jit
    def step(variables, state, finite, key):
        def loss_fn(params):
            logits, updates = model.apply(
                {**variables, "params": params},
                x,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), updates

        grads, updates = jax.grad(loss_fn, has_aux=True)(variables["params"])
        finite = jax.tree.map(lambda ok, g: ok & jnp.isfinite(g).all(), finite, grads)
        change, state = optimizer.update(grads, state)
        params = optax.apply_updates(variables["params"], change)
        return {"params": params, **updates}, state, finite

    accuracy = jit(lambda v: (model.apply(v, x, train=False).argmax(-1) == y).mean())
    for i in range(1, most + 1):
        variables, state, finite = step(variables, state, finite, jax.random.fold_in(key, i))
        if i % 10 == 0 and (reached := float(accuracy(variables))) == 1.0:
            break
    return i, reached, {keystr(path) for path, ok in tree_leaves_with_path(finite) if not ok}


def test_overfits_32_digits(tiny_to_train, quick_jit):
    """Compiled to slower code, which takes a third of the time."""
    tiny = tiny_to_train
    model = create_model(tiny.name, num_classes=10, **tiny.fields)
    steps, accuracy, broken = steps_to_overfit(model, *digits(tiny.shape), quick_jit)
    assert not broken
    assert accuracy == 1.0, f"{tiny.name}: {accuracy:.0%} after {steps} steps"


def test_every_family_has_its_turn():
    turns = [in_turn(turn() + i) for i in range(TURNS)]
    assert in_turn(turn() + TURNS) == turns[0]
    families = [model_info(NETWORKS[key].name).family for keys in turns for key in keys]
    assert sorted(families) == sorted(
        {model_info(name).family for name in list_models(task="classification")}
    )
