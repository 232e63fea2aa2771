"""What the measures of the claims train or count by themselves, where the outcome is known."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_claims.answering import codes, reader

from experiments.claims.measures import (
    convolution,
    deeper_networks,
    dense,
    racing,
    response_norm,
    second_order,
    smoothed_networks,
    teachers,
)
from jaxnets import optim
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP
from jaxnets.models.resnet_cifar import ResNetCIFAR
from jaxnets.ops import max_pool
from jaxnets.study.training import steps_to


def _copies(tree, count: int):
    return jax.tree.map(lambda x: jnp.stack([x] * count), tree)


def test_students_of_themselves_stay_as_they_are():
    """Their softened predictions are those of the teacher: no gradient. Others follow theirs."""
    data, model, keys = codes(20).train, MLP(10, hidden=(12,)), jnp.arange(2, dtype=jnp.uint32)
    first = [model.init(jax.random.key(k), data.images[:2]) for k in range(2)]
    same = jnp.stack([model.apply(v, data.images) for v in first])
    order = jnp.asarray(np.tile(np.arange(20), (2, 30, 1)))

    def learned(targets, rate):
        return teachers._distil(model, 2.0, rate, keys, order, data.images, targets)

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


def test_trials_leave_the_fastest_rates_and_finals_count_all_keys():
    """On real runs: the rate that wins among all with all keys wins here, in the same steps."""
    options = {"keys": 3, "train": 300, "test": 20, "steps": 80, "evaluations": 20}
    settings = racing.Halving(**options, trial=4, finalists=2)
    rates = np.float32([0.001, 0.1, 0.003, 0.2])
    found = racing.fastest(
        settings, MLP(10, (16,)), optim.momentum, rates, quantity="train_error", target=0.2
    )
    runs = settings.runs(MLP(10, (16,)), optim.momentum, rates)
    needed = steps_to(runs.steps, 1 - runs.train_accuracy, 0.2)
    best = int(np.log(needed + 1).mean(1).argmin())
    assert found.place == best in (1, 3)
    np.testing.assert_allclose(found.needed, needed[best], rtol=1e-3)


def _residual(**changes):
    sizes = {"keys": 2, "train": 40, "test": 30, "steps": 2, "batch_size": 20, "evaluations": 1}
    small = {"widths": (2, 2, 4), "blocks": 1, "rates": (0.1,), "student_widths": (2, 2, 2)}
    return teachers.Distillation(**sizes, **small, student_rates=(0.1,), **changes)


@pytest.mark.slow
def test_residual_networks_are_trained_once_and_examined_key_by_key():
    settings = _residual()
    runs, found = smoothed_networks.examined(settings, cross_entropy)
    assert smoothed_networks.train(settings, cross_entropy) is smoothed_networks.train(
        smoothed_networks.Smoothing(
            **{f.name: getattr(settings, f.name) for f in fields(smoothed_networks.Smoothing)}
        ),
        cross_entropy,
    )
    model, (images, labels) = smoothed_networks.network(settings), settings.data().test
    for key in range(2):
        variables = jax.tree.map(lambda leaf, k=key: leaf[k], runs.variables)
        logits = model.apply(variables, images)
        np.testing.assert_allclose(found["logits"][key], logits, atol=1e-4)
        maps = model.clone(num_classes=None).apply(variables, images)["stage3"]
        np.testing.assert_allclose(found["features"][key], maps.mean((1, 2)), atol=1e-4)
        right = 100 * (logits.argmax(-1) == labels).mean()
        np.testing.assert_allclose(found["accuracy"][key], right, rtol=1e-4)
    kernel = smoothed_networks.template_kernel(runs, 1)
    np.testing.assert_array_equal(kernel, runs.variables["params"]["head"]["kernel"][1])
    smoothed_networks.trained_residual.cache_clear()


def test_residual_students_follow_what_is_said_of_the_view_they_see():
    """Two views with opposite answers: a step moves towards what belongs to the view shown."""
    settings = _residual()
    model = ResNetCIFAR(2, blocks=1, widths=(2, 2, 2))
    images = np.random.default_rng(0).normal(size=(2, 4, 8, 8, 1)).astype(np.float32)
    images[1] -= 4
    targets = np.zeros((2, 4, 2), np.float32)
    targets[0, :, 0] = targets[1, :, 1] = 6.0
    learn = teachers.residual_learner(replace(settings, steps=60), model, 0.3, (8, 8, 1))
    order = np.tile(np.arange(4), (60, 1))
    variables = learn(0, order, images, targets)
    for view in range(2):
        logits = teachers.predict(model, variables, images[view], size=3)
        assert logits.shape == (4, 2)
        assert (logits.argmax(-1) == targets[view].argmax(-1)).all(), logits


def test_deep_networks_begin_with_the_first_layers_of_shallow_ones():
    shallow, deep = deeper_networks.SHALLOW, deeper_networks.DEEP
    x, widths = jnp.ones((1, 8, 8, 3)), (2, 2, 4)
    old = deeper_networks.Plain(shallow, widths).init(jax.random.key(0), x)["params"]
    new = deeper_networks.Plain(deep, widths).init(jax.random.key(1), x)["params"]
    layers = deeper_networks.first_layers(old, shallow)
    assert list(layers) == ["conv1_1", "conv2_1", "conv3_1", "conv3_2", "classifier"]
    begun = deeper_networks.begin(new, {"scale": 0.5, "layers": layers})
    assert begun.keys() == new.keys() and len(new) == 9
    for name, layer in begun.items():
        expected = layers[name] if name in layers else {**new[name]}
        factor = 1 if name in layers else 0.5
        np.testing.assert_array_equal(layer["kernel"], factor * expected["kernel"])
        np.testing.assert_array_equal(layer["bias"], expected["bias"])


def test_local_response_norm_stands_between_relu_and_pooling_of_the_first_two():
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    plain, normalized = (response_norm.SmallAlexNet(n, (2, 3, 4)) for n in (False, True))
    variables = plain.init(jax.random.key(1), x)
    h = x
    for i in (1, 2, 3):
        layer = variables["params"][f"conv{i}"]
        h = jax.lax.conv_general_dilated(
            h, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h = jax.nn.relu(h + layer["bias"])
        if i < 3:
            # All channels are neighbors of each other.
            h = h / (2 + 1e-4 * (h**2).sum(-1, keepdims=True)) ** 0.75
        h = max_pool(h, (3, 3), strides=2, padding=1)
    last = variables["params"]["classifier"]
    expected = h.reshape(2, -1) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(normalized.apply(variables, x), expected, rtol=1e-4, atol=1e-6)
    assert not np.allclose(plain.apply(variables, x), expected, rtol=1e-2)


def test_steps_of_both_networks_are_timed():
    settings = response_norm.Normalized(
        keys=2, train=20, test=20, widths=(2, 2, 2), batch_size=4, rounds=3
    )
    found = response_norm.step_seconds(settings)
    assert set(found) == {True, False}
    assert all(len(s) == 3 and (s > 0).all() for s in found.values())
