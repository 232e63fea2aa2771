"""What the measures of the claims train or count by themselves, where the outcome is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_claims.answering import codes, reader

from experiments.claims.measures import convolution, dense, label_smoothing, second_order
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP


def _copies(tree, count: int):
    return jax.tree.map(lambda x: jnp.stack([x] * count), tree)


def test_students_of_themselves_stay_as_they_are():
    """Their softened predictions are those of the teacher: no gradient. Others follow theirs."""
    data, model, keys = codes(20).train, MLP(10, hidden=(12,)), jnp.arange(2, dtype=jnp.uint32)
    first = [model.init(jax.random.key(k), data.images[:2]) for k in range(2)]
    same = jnp.stack([model.apply(v, data.images) for v in first])
    order = jnp.asarray(np.tile(np.arange(20), (2, 30, 1)))

    def learned(targets, rate):
        return label_smoothing._distil(model, 2.0, rate, keys, order, data.images, targets)

    for leaf, *begun in zip(*map(jax.tree.leaves, (learned(same, 0.5), *first)), strict=True):
        np.testing.assert_allclose(leaf, np.stack(begun), atol=1e-5)
    # The second row of the images says something else than the labels for a tenth of them.
    teacher = jnp.stack([8 * data.images[:, 3, :, 0]] * 2)
    logits = jax.vmap(lambda v: model.apply(v, data.images))(learned(teacher, 0.5))
    assert (logits.argmax(-1) == teacher.argmax(-1)).all()
    assert not (logits.argmax(-1) == data.labels).all()


def test_runs_of_transfer_follow_momentum_with_a_falling_rate():
    """Two steps on one example: rates η and η/2, momentum 0.9; a factor of 0 freezes a layer."""
    model, part = dense.network(12, 1, 10), codes(10).train
    params = model.init(jax.random.key(0), part.images[:1])["params"]
    rates = jnp.array([0.5, 0.1])
    ends = dense.train_runs(
        model,
        _copies(params, 2),
        {"fc1": jnp.array([1.0, 0.0]), "classifier": jnp.ones(2)},
        rates,
        jnp.array([[3], [7]]),
        jnp.arange(2, dtype=jnp.uint32),
        part,
        steps=2,
        batch_size=1,
    )
    for run, (rate, row) in enumerate(((0.5, 3), (0.1, 7))):

        def loss(p, row=row):
            logits = model.apply({"params": p}, part.images[row : row + 1])
            return cross_entropy(logits, part.labels[row : row + 1])

        x, v = params, jax.tree.map(jnp.zeros_like, params)
        for eta in (rate, rate / 2):
            v = jax.tree.map(lambda v, g: 0.9 * v + g, v, jax.grad(loss)(x))
            x = {
                layer: jax.tree.map(lambda x, v, eta=eta: x - eta * v, x[layer], v[layer])
                if run == 0 or layer != "fc1"
                else x[layer]
                for layer in x
            }
        found = jax.tree.map(lambda leaf, run=run: leaf[run], ends)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(x), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_accuracies_of_transfer_are_per_cent():
    params = [reader(row, 3.0, 12) for row in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *params)
    found = dense.accuracies(MLP(10, hidden=(12, 12)), stacked, codes().test)
    np.testing.assert_allclose(found, [100, 90, 80], rtol=1e-5)


def test_samples_of_transfer_have_equally_many_of_each_class():
    part = codes(30).train
    rows = dense.sample(part, 3, seed=0)
    assert sorted(rows) == list(range(30))
    assert np.bincount(np.asarray(part.labels)[dense.sample(part, 2, seed=0)]).tolist() == [2] * 10
    many = dense.sample(part, 5, seed=0)
    assert np.bincount(np.asarray(part.labels)[many]).tolist() == [5] * 10


@pytest.mark.parametrize("penalty", [0.01, 0.5])
def test_gradient_descent_on_one_parameter(penalty):
    """f = ln(1 + e^(−2w)) + λw²/2 has L = 4/4 + λ; in float64 as many steps. Newton: far fewer."""
    x, sign = np.full((5, 1), 2.0, np.float32), np.ones(5, np.float32)
    w, steps = 0.0, 0

    def gradient(w):
        return -2 / (1 + np.exp(2 * w)) + penalty * w

    while abs(gradient(w)) > 1e-4:
        w, steps = w - gradient(w) / (1 + penalty), steps + 1
    found, count, last = second_order.gradient_descent(x, sign, penalty, 1e-4, 20_000)
    assert abs(int(count) - steps) <= 1 and abs(float(last[0])) <= 1e-4
    np.testing.assert_allclose(found, [w], rtol=1e-3)
    best = second_order.newton(x, sign, penalty, 1e-4)
    assert int(best.iterations) < min(steps, 10)
    assert abs(gradient(float(best.x[0]))) <= 1.1e-4
    assert int(second_order.gradient_descent(x, sign, penalty, 1e-4, 2)[1]) == min(steps, 2)


def test_work_and_fields_of_bodies():
    """Digits have 4×4 pixels behind the stem."""
    settings = convolution.Bodies(keys=2, train=20, test=20, channels=8)
    assert convolution.macs(settings, "3×3 twice") == 16 * 2 * 9 * 8 * 8
    assert convolution.macs(settings, "bottleneck") == 16 * (8 * 2 + 9 * 2 * 2 + 2 * 8)
    fields = [convolution.receptive_field(body) for body in convolution.BODIES]
    assert fields == [7, 7, 5, 3]
