"""Every network learns 32 real digits by heart: the first thing to try with a new network.

Source: matrix C14.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import keystr, tree_leaves_with_path
from sklearn.datasets import load_digits

from jaxnets.models import create_model


def digits(shape, count=32):
    data = load_digits()
    x = data.images[:count, :, :, None].astype(np.float32) / 8 - 1
    x = jax.image.resize(x, (count, *shape[:2], 1), "linear")
    return np.asarray(np.repeat(x, shape[2], axis=-1)), data.target[:count]


def steps_to_learn_by_heart(model, x, y, jit, most=300):
    """Training steps until every example is right in evaluation, the last accuracy, and the names
    of the parameters that had a gradient which is not finite."""
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = jit(model.init)(keys, x[:1])
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))

    @jit
    def step(variables, state, key):
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
        finite = jax.tree.map(lambda g: jnp.isfinite(g).all(), grads)
        change, state = optimizer.update(grads, state)
        params = optax.apply_updates(variables["params"], change)
        return {"params": params, **updates}, state, finite

    accuracy = jit(lambda v: (model.apply(v, x, train=False).argmax(-1) == y).mean())
    state, broken = optimizer.init(variables["params"]), set()
    for i in range(1, most + 1):
        variables, state, finite = step(variables, state, jax.random.key(i))
        broken |= {keystr(path) for path, ok in tree_leaves_with_path(finite) if not ok}
        if i % 10 == 0 and (reached := float(accuracy(variables))) == 1.0:
            break
    return i, reached, broken


def test_learns_32_digits_by_heart(tiny_to_train, quick_jit):
    """Compiling takes far longer than the few steps: to slower code, it takes a third."""
    tiny = tiny_to_train
    model = create_model(tiny.name, num_classes=10, **tiny.fields)
    steps, accuracy, broken = steps_to_learn_by_heart(model, *digits(tiny.shape), quick_jit)
    assert not broken
    assert accuracy == 1.0, f"{tiny.name}: {accuracy:.0%} after {steps} steps"
