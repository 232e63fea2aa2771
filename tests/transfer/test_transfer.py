"""Transfer: what is frozen stays, bit for bit; what is trained follows references."""

import itertools
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import data, optim, transfer
from jaxnets.errors import UnknownNameError
from jaxnets.models import create_model
from jaxnets.nn import BatchNorm
from jaxnets.tasks import classification
from jaxnets.train import train_step
from jaxnets.transfer.layers import layer_of

SHAPE = (8, 8, 3)
TASK = classification(4)


def resnet(classes=4):
    return create_model("resnet20", blocks=1, widths=(4, 6), num_classes=classes)


def images(count=12, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def batch(count=12):
    return {"image": jnp.asarray(images(count)), "label": jnp.arange(count) % 4}


def flat(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(p, simple=True, separator="/"): np.asarray(x).tobytes()
        for p, x in leaves
    }


@lru_cache
def compiled_init(net):
    return jax.jit(partial(net.init, train=False))


def trained_variables(net, seed=0):
    """Random variables whose running statistics are not those of a new network."""
    variables = compiled_init(net)(jax.random.key(seed), images(1))
    stats = jax.tree.map(lambda s: s + 0.3, variables["batch_stats"])
    return {"params": variables["params"], "batch_stats": stats}


@pytest.mark.parametrize(
    ("name", "fields", "shape", "counts"),
    [
        ("resnet50", {}, (224, 224, 3), {"backbone": 2_049_000, None: 25_557_032}),
        ("vgg16", {}, (224, 224, 3), {"backbone": 4_097_000, None: 138_357_544}),
        ("mlp", {"hidden": (5, 4)}, (2, 3, 1), {"fc1": 24 + 50, "fc2": 50, None: 35 + 24 + 50}),
    ],
)
def test_trainable_counts(name, fields, shape, counts):
    net = create_model(name, **fields)
    for to, wanted in counts.items():
        assert transfer.count_trainable(net, shape, transfer.layers_up_to(net, shape, to)) == wanted


def test_layers_and_groups_of_a_residual_network():
    names = transfer.layer_names(resnet(), SHAPE)
    assert names == ("stem", "stage1/block0", "stage2/block0", "head")
    assert dict(transfer.layer_groups(resnet(), SHAPE)) == {
        "stem": names[:1],
        "stage1": names[1:2],
        "stage2": names[2:3],
        "head": names[3:],
    }
    assert transfer.layers_up_to(resnet(), SHAPE, "stage2/block0") == names[:3]
    assert transfer.layers_up_to(resnet(), SHAPE, "stage1") == names[:2]
    assert transfer.layers_up_to(resnet(), SHAPE, "backbone") == names[:-1]
    assert transfer.layers_up_to(resnet(), SHAPE, None) == ()
    assert transfer.head_layers(resnet(), SHAPE) == names[-1:]


def test_branches_and_side_classifiers():
    """GoogLeNet's head has three classifiers; no endpoint needs them."""
    net = create_model("googlenet")
    groups = transfer.layer_groups(net, (224, 224, 3))
    names = transfer.layer_names(net, (224, 224, 3))
    found = [n for group in groups.values() for n in group]
    assert sorted(found) == sorted(names) and len(set(found)) == len(found)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_frozen_layers_keep_every_bit(decay):
    net = resnet()
    variables = trained_variables(net)
    # A negative zero is a bit pattern that adding +0 would change.
    kernel = variables["params"]["stem"]["conv"]["kernel"].at[0, 0, 0, 0].set(-0.0)
    variables["params"]["stem"]["conv"]["kernel"] = kernel
    frozen = transfer.layers_up_to(net, SHAPE, "stage1")
    rule = optim.create_optimizer("adamw", 0.01, weight_decay=decay, clip_norm=1.0)
    state = transfer.transfer_state(net, variables, rule, jax.random.key(1), frozen=frozen)
    before = flat(state.variables)
    step = jax.jit(partial(train_step, task=TASK))
    for _ in range(3):
        state, metrics = step(state, batch())
    after = flat(state.variables)
    assert np.isfinite(metrics["loss"])
    for path in before:
        in_frozen = layer_of(path.split("/")[1:-1]) in frozen
        # The last block's running statistics and every trained parameter move.
        assert (before[path] == after[path]) == in_frozen, path
    assert int(state.step) == 3


def test_a_frozen_layer_has_no_memory_and_no_updates():
    """Adam keeps two moments of the trained layer alone; −0 leaves every bit as it is."""
    params = {"a": {"w": jnp.ones(3)}, "b": {"w": jnp.ones(5)}}
    assert transfer.label_layers(params, {"a"}) == {"a": {"w": "frozen"}, "b": {"w": "trained"}}
    rule = transfer.freeze(optax.adam(0.1), {"a"})
    state = rule.init(params)
    assert sorted(leaf.size for leaf in jax.tree.leaves(state)) == [1, 5, 5]
    updates, _ = rule.update(params, state, params)
    alone, _ = transfer.keep().update(params, optax.EmptyState())
    for update in (updates["a"]["w"], alone["b"]["w"]):
        assert not np.any(update) and np.all(np.signbit(update))
    assert np.all(updates["b"]["w"] < 0)


def test_frozen_normalization_is_that_of_evaluation():
    """Training sees the features that evaluation sees; the trained part is in training mode."""
    net, x = resnet(), images()
    variables = trained_variables(net)
    frozen = transfer.layers_up_to(net, SHAPE, "backbone")
    apply = transfer.frozen_apply(net.apply, frozen)
    logits, state = apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(logits, net.apply(variables, x, train=False), atol=1e-6)
    assert flat(state["batch_stats"]) == flat(variables["batch_stats"])
    train_logits, _ = net.apply(variables, x, train=True, mutable=["batch_stats"])
    assert np.abs(train_logits - logits).max() > 0.01


def test_dropout_in_a_frozen_layer_rests():
    net = create_model("mlp", hidden=(6, 6), dropout_rate=0.5, num_classes=2)
    x = images(3, shape=(2, 2, 1))
    variables = net.init(jax.random.key(0), x)
    key = {"dropout": jax.random.key(1)}
    frozen = transfer.frozen_apply(net.apply, {"fc1", "dropout1", "fc2", "dropout2"})
    np.testing.assert_array_equal(
        frozen(variables, x, train=True, rngs=key), net.apply(variables, x, train=False)
    )
    part = transfer.frozen_apply(net.apply, {"fc1", "dropout1"})
    assert np.any(part(variables, x, train=True, rngs=key) != net.apply(variables, x, train=False))


def test_a_part_of_a_block_can_be_frozen():
    net = resnet()
    frozen = ["stage2/block0/conv1", "stage2/block0/bn1"]
    variables = trained_variables(net)
    rule = optim.create_optimizer("sgd", 0.1)
    state = transfer.transfer_state(net, variables, rule, jax.random.key(0), frozen=frozen)
    new, _ = jax.jit(partial(train_step, task=TASK))(state, batch())
    before, after = flat(state.variables), flat(new.variables)
    same = {path for path in before if before[path] == after[path]}
    assert same == {p for p in before if p.split("/", 1)[1].startswith(tuple(frozen))}


def test_head_training_equals_training_the_head_alone():
    """Freezing the backbone is softmax regression on its features, step for step."""
    net = resnet()
    variables = trained_variables(net)
    rule = optim.create_optimizer("momentum", 0.1)
    frozen = transfer.layers_up_to(net, SHAPE, "backbone")
    state = transfer.transfer_state(net, variables, rule, jax.random.key(0), frozen=frozen)
    step = jax.jit(partial(train_step, task=TASK))
    features = np.asarray(transfer.head_inputs(net, variables, images()), np.float64)
    w = {k: np.asarray(v, np.float64) for k, v in variables["params"]["head"].items()}
    v = {k: np.zeros_like(a) for k, a in w.items()}
    labels = np.eye(4)[np.arange(12) % 4]
    for _ in range(4):
        state, _ = step(state, batch())
        z = features @ w["kernel"] + w["bias"]
        p = np.exp(z - z.max(1, keepdims=True))
        error = (p / p.sum(1, keepdims=True) - labels) / 12
        for name, g in (("kernel", features.T @ error), ("bias", error.sum(0))):
            v[name] = 0.9 * v[name] - 0.1 * g
            w[name] = w[name] + v[name]
    np.testing.assert_allclose(state.params["head"]["kernel"], w["kernel"], atol=1e-5)
    np.testing.assert_allclose(state.params["head"]["bias"], w["bias"], atol=1e-5)


def test_copied_layers_bring_their_statistics_and_nothing_else():
    net = resnet()
    new, old = trained_variables(net, 1), trained_variables(net, 2)
    old["batch_stats"] = jax.tree.map(lambda s: s + 1, old["batch_stats"])
    layers = transfer.layers_up_to(net, SHAPE, "stage1")
    got, ours, theirs = (flat(t) for t in (transfer.copy_layers(new, old, layers), new, old))
    assert {p for p in got if got[p] == theirs[p] and theirs[p] != ours[p]} >= {
        "batch_stats/stem/bn/mean",
        "params/stem/conv/kernel",
        "params/stage1/block0/conv2/kernel",
    }
    for path in got:
        source = theirs if layer_of(path.split("/")[1:-1]) in layers else ours
        assert got[path] == source[path], path


def test_a_source_with_other_classes():
    source = trained_variables(resnet(7))
    target = trained_variables(resnet(4), 5)
    layers = transfer.layers_up_to(resnet(4), SHAPE, "backbone")
    got = transfer.copy_layers(target, source, layers)
    assert got["params"]["head"]["kernel"].shape == (6, 4)
    with pytest.raises(ValueError, match=r"source has \[.*7\] at params/head/.*, expected \[.*4\]"):
        transfer.copy_layers(target, source, [*layers, "head"])


def test_probe_is_the_minimum_of_softmax_regression():
    """scikit-learn finds the same weights for C = 1/(λN) on the same standardized features."""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    x = random.standard_normal((90, 5)) * [1, 10, 0.1, 3, 1] + [0, 5, -2, 0, 0]
    x[:, 4] = 2.5  # A feature that never changes gets no weight.
    labels = (x[:, 0] + x[:, 1] / 10 + random.standard_normal(90) > 0.5).astype(int)
    labels = labels + (x[:, 3] > 1)
    probe = transfer.fit_linear_probe(x.astype(np.float32), labels, 3, l2=0.02, tol=1e-6)
    assert isinstance(probe, transfer.LinearClassifier)
    assert probe.converged and not np.any(probe.kernel[4])
    mean, std = x[:, :4].mean(0), x[:, :4].std(0)
    reference = LogisticRegression(C=1 / (0.02 * 90), tol=1e-10, max_iter=10_000)
    reference.fit((x[:, :4] - mean) / std, labels)
    wanted = reference.predict_log_proba((x[:, :4] - mean) / std)
    np.testing.assert_allclose(jax.nn.log_softmax(probe(jnp.float32(x))), wanted, atol=2e-4)
    assert probe.accuracy(x.astype(np.float32), labels) == pytest.approx(
        (wanted.argmax(1) == labels).mean()
    )


def test_examples_of_weight_0_are_not_there():
    random = np.random.default_rng(3)
    x, labels = random.standard_normal((40, 3)).astype(np.float32), random.integers(0, 2, 40)
    kept = np.arange(40) % 4 > 0
    some = transfer.fit_linear_probe(x, labels, 2, weights=kept, tol=1e-6)
    alone = transfer.fit_linear_probe(x[kept], labels[kept], 2, tol=1e-6)
    np.testing.assert_allclose(some.kernel, alone.kernel, atol=1e-4)
    np.testing.assert_allclose(some.bias, alone.bias, atol=1e-4)
    # Labels without rhyme or reason are guessed, on examples that were not fitted.
    found = transfer.cross_validate(x, labels, 2, folds=4, l2=0.0)
    positive = (x[:, 0] > 0).astype(int)
    assert 0.2 < found < 0.8 < transfer.cross_validate(x, positive, 2, folds=4)


def test_probe_in_the_network_is_the_probe():
    net, x = resnet(), images()
    variables = trained_variables(net)
    features = transfer.compute_features(partial(transfer.head_inputs, net), variables, x, 5)
    probe = transfer.fit_linear_probe(features, np.arange(12) % 4, 4)
    whole = transfer.set_head(net, variables, probe, SHAPE)
    np.testing.assert_allclose(net.apply(whole, x), probe(features), atol=1e-4)
    stage = transfer.endpoint_features(net, variables, jnp.asarray(x), "stage2")
    np.testing.assert_allclose(stage, features, atol=1e-5)


def test_layerwise_rates_follow_sgd():
    params = {"a": {"w": jnp.ones(2)}, "b": {"w": jnp.ones(2)}, "c": {"w": jnp.ones(2)}}
    factors = transfer.layerwise_factors({"one": ("a",), "none": (), "two": ("b", "c")}, 0.5)
    assert factors == {"a": 0.5, "b": 1.0, "c": 1.0}
    rule = transfer.scale_layers(optim.create_optimizer("momentum", 0.1), {**factors, "b": 0.0})
    state = rule.init(params)
    start = jax.tree.map(np.asarray, params)
    for _ in range(3):
        updates, state = rule.update(params, state, params)
        params = optax.apply_updates(params, updates)
    assert np.asarray(params["b"]["w"]).tobytes() == start["b"]["w"].tobytes()
    for name, factor in (("a", 0.5), ("c", 1.0)):
        w, v = 1.0, 0.0
        for _ in range(3):
            v = 0.9 * v + w
            w -= 0.1 * factor * v
        np.testing.assert_allclose(params[name]["w"], w, rtol=1e-6)


def test_phases_unfreeze_from_the_top():
    net = resnet()
    phases = transfer.unfreezing_phases(transfer.layer_groups(net, SHAPE))
    assert len(phases) == 4 and phases[-1] == ()
    assert phases[0] == transfer.layers_up_to(net, SHAPE, "backbone")
    assert phases[2] == ("stem",)
    assert all(set(b) < set(a) for a, b in itertools.pairwise(phases))
    variables, moved = trained_variables(net), []
    for frozen in phases:
        rule = optim.create_optimizer("sgd", 0.1)
        state = transfer.transfer_state(net, variables, rule, jax.random.key(0), frozen=frozen)
        new, _ = jax.jit(partial(train_step, task=TASK))(state, batch())
        before, after = flat(state.params), flat(new.params)
        moved.append({layer_of(p.split("/")[:-1]) for p in before if before[p] != after[p]})
        variables = new.variables
    names = set(transfer.layer_names(net, SHAPE))
    assert moved == [names - set(frozen) for frozen in phases]


def test_advice_is_the_table():
    found = {
        (small, similar): transfer.advise(200 if small else 20_000, similar).strategy
        for small in (True, False)
        for similar in ("similar", "different")
    }
    assert found == {
        (True, "similar"): "linear_probe",
        (True, "different"): "probe_stages",
        (False, "similar"): "fine_tune_top",
        (False, "different"): "fine_tune_most",
    }
    shares = {k: transfer.advise(20_000, k).trained_share for k in ("similar", "different")}
    assert shares["similar"] < shares["different"]
    advice = transfer.advise(999, 0.3, num_classes=10)
    assert isinstance(advice, transfer.Advice)
    assert advice.small and advice.similar and "999 examples, fewer than 1,000" in advice.why
    assert not transfer.advise(1000, 0.2, similar_above=0.25).similar
    assert not transfer.advise(1000, 0.2).small


def test_similarity_tells_a_pretrained_network_from_a_random_one():
    """A network that was trained on the task itself is similar; a random one is not."""
    digits = data.load_dataset("digits", train_examples=300)
    net = create_model("mlp", hidden=(32, 8))
    scale = partial(jnp.multiply, 1 / 255)
    state = transfer.transfer_state(
        net,
        net.init(jax.random.key(0), np.zeros((1, 8, 8, 1))),
        optim.create_optimizer("adam", 3e-3),
        jax.random.key(0),
    )
    step = jax.jit(partial(train_step, task=classification(10, preprocess=scale)))
    batches = data.Batches(digits.train, 100, seed=0)
    for number in range(150):
        state, _ = step(state, batches[number])
    held = digits.test.images[:120], digits.test.labels[:120]
    key = jax.random.key(1)
    found = transfer.measure_similarity(key, net, state.variables, *held, preprocess=scale)
    random = net.init(jax.random.key(2), np.zeros((1, 8, 8, 1)))
    other = transfer.measure_similarity(key, net, random, *held, preprocess=scale)
    assert found["pretrained"] > other["pretrained"] and other["similarity"] == 0
    assert found["pixels"] == other["pixels"] > 0.8


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: transfer.layers_up_to(resnet(), SHAPE, "stage9"), "Did you mean 'stage"),
        (
            lambda: transfer.count_trainable(resnet(), SHAPE, ["stem/conv1"]),
            "Did you mean 'stem/conv'",
        ),
        (
            lambda: transfer.transfer_state(
                resnet(), trained_variables(resnet()), optax.sgd(1.0), None, frozen=["fcc"]
            ),
            "unknown layer 'fcc'",
        ),
        (lambda: transfer.frozen_apply(None, "fc"), "a collection of names, got the string 'fc'"),
        (lambda: transfer.layerwise_factors(["a"], 0.0), "decay must be a number > 0 and ≤ 1"),
        (lambda: transfer.layerwise_factors(["a"], 1.5), "decay must be a number > 0 and ≤ 1"),
        (lambda: transfer.scale_layers(optax.sgd(1.0), {"a": -1.0}), r"factors\['a'\] must be"),
        (
            lambda: transfer.scale_layers(optax.sgd(1.0), {"fcc": 0.1}).init({"fc": {"w": 0}}),
            "unknown layer 'fcc'",
        ),
        (lambda: transfer.unfreezing_phases(["a"], first=2), r"first must lie in 1 … 1"),
        (
            lambda: transfer.fit_linear_probe(np.ones((2, 3)), np.array([0, 5]), 2),
            "labels must lie",
        ),
        (lambda: transfer.fit_linear_probe(np.ones((2, 3)), np.array([0]), 2), "x must be"),
        (
            lambda: transfer.fit_linear_probe(np.ones((1, 3)), np.array([0]), 2, l2=-1),
            "l2 must be a number ≥ 0",
        ),
        (
            lambda: transfer.endpoint_features(
                resnet(), trained_variables(resnet()), jnp.asarray(images(1)), "stage"
            ),
            "unknown endpoint 'stage'. Did you mean",
        ),
        (
            lambda: transfer.fit_linear_probe(
                np.ones((1, 3)), np.array([0]), 2, weights=np.zeros(1)
            ),
            "weights must be",
        ),
        (lambda: transfer.cross_validate(np.ones((2, 3)), [0, 1], 2, folds=3), "folds must be"),
        (lambda: transfer.advise(0, "similar"), "dataset_size must be a whole number ≥ 1"),
        (lambda: transfer.advise(10, 1.5), "similarity must be a number ≥ 0 and ≤ 1"),
        (lambda: transfer.advise(10, "close"), "similarity must be 'similar', 'different' or"),
        (
            lambda: transfer.compute_features(lambda v, x: x, {}, np.zeros((0, 2))),
            "must not be empty",
        ),
    ],
)
def test_mistakes_say_what_was_wrong(build, message):
    with pytest.raises((ValueError, UnknownNameError), match=message):
        build()


def test_a_network_without_normalization_layers_has_no_statistics():
    """`transfer_state` takes variables of any collections."""
    assert BatchNorm not in map(type, [create_model("mlp")])
    net = create_model("mlp", hidden=(3,), num_classes=2)
    variables = net.init(jax.random.key(0), images(1))
    state = transfer.transfer_state(net, variables, optax.sgd(0.1), jax.random.key(0))
    assert state.model_state == {}
