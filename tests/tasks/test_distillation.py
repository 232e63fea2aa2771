"""Distillation as a task: teachers, layers, schedules, the stages of FitNets, generations."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from jaxnets import losses, tasks
from jaxnets.data import ArraySource, Split
from jaxnets.errors import UnknownNameError
from jaxnets.models import Tapped, create_model
from jaxnets.optim import create_optimizer, keep, move_only
from jaxnets.study.small_convnet import SmallConvNet
from jaxnets.tasks.distillation import as_student, moved_parameters
from jaxnets.tasks.fitnet import guided_student, hint_training, stored_variables
from jaxnets.tasks.teacher import LOGITS
from jaxnets.train import RunOptions, TaskError, create_state, train_step

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 255, (6, 4, 4, 3)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])
BATCH = {"image": IMAGES, "label": LABELS}
QUIET = RunOptions(quiet=True, devices=1, evaluate_every=0)


def scale(images):
    return images / 128 - 1


class Own(nn.Module):
    """A network of a user's: no train keyword, no names given."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(5)(x.reshape(len(x), -1)))
        return nn.Dense(3)(x)


@pytest.fixture(scope="module")
def own_teacher():
    network = Own()
    variables = network.init(jax.random.key(1), jnp.zeros((1, 4, 4, 3)))
    return tasks.Teacher(network, variables, scale, ("Dense_0",))


def test_the_cache_says_what_the_teacher_says(own_teacher):
    said = own_teacher(jnp.asarray(IMAGES))
    direct = own_teacher.network.apply(own_teacher.variables, scale(jnp.asarray(IMAGES)))
    np.testing.assert_allclose(said[LOGITS], direct, rtol=1e-6)
    cached = tasks.CachedTeacher(Split(IMAGES, LABELS), own_teacher, batch_size=4)
    batch = cached.take(np.array([5, 0]))
    for key in (LOGITS, "teacher/Dense_0"):
        np.testing.assert_allclose(batch[key], said[key][jnp.array([5, 0])], rtol=1e-5, atol=1e-6)
    assert set(cached.only().take(np.array([1]))) == {"image", "label", LOGITS}


def test_teacher_in_the_step_equals_teacher_in_the_batch(own_teacher):
    """Loss, gradients of every parameter, and none through the teacher; two users' modules."""
    terms = [tasks.soft_targets(temperature=2.0, weight=0.7), tasks.hint("Dense_0", "Dense_0")]
    network = tasks.student_network(Own(), terms, BATCH, teacher=own_teacher, preprocess=scale)
    in_step = tasks.distillation(3, terms, teacher=own_teacher, label_weight=0.3, preprocess=scale)
    in_batch = tasks.distillation(3, terms, label_weight=0.3, preprocess=scale)
    batch = tasks.CachedTeacher(Split(IMAGES, LABELS), own_teacher).take(np.arange(6))
    state = create_state(network, optax.sgd(1.0), BATCH, jax.random.key(0), task=in_step)
    first, metrics = jax.jit(partial(train_step, task=in_step))(state, BATCH)
    second, _ = jax.jit(partial(train_step, task=in_batch))(state, batch)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), first.params, second.params
    )
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, first.params)
    assert all(jax.tree.leaves(moved))
    # The same by hand.
    student = tasks.student_variables(state.variables)
    x = scale(jnp.asarray(IMAGES))
    logits, written = Own().apply(student, x, capture_intermediates=True)
    hidden = written["intermediates"]["Dense_0"]["__call__"][0]
    projection = state.params["projection_Dense_0"]
    regressed = hidden @ projection["kernel"] + projection["bias"]
    expected = (
        0.3 * losses.cross_entropy(logits, LABELS)
        + 0.7 * losses.soft_target_loss(logits, batch[LOGITS], temperature=2.0)
        + losses.hint_loss(regressed, batch["teacher/Dense_0"], per_element=True)
    )
    total = in_batch.loss(logits, {"taps": {"values": {"Dense_0": regressed}}}, batch)[0]
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert {"label_loss", "soft_targets", "hint", "accuracy"} <= set(metrics)
    assert in_batch.measure(logits, {**BATCH, "example_mask": jnp.ones(6)})["confusion"][1] == 6


def test_a_scheduled_weight_follows_the_updates(own_teacher):
    weight = optax.linear_schedule(4.0, 1.0, 3)
    terms = [tasks.soft_targets(temperature=3.0, weight=weight)]
    task = tasks.distillation(3, terms, teacher=own_teacher, label_weight=0.0, preprocess=scale)
    network = tasks.student_network(Own(), terms, BATCH, teacher=own_teacher, preprocess=scale)
    # Nothing moves, so that only the weight changes.
    state = create_state(network, keep(), BATCH, jax.random.key(0), task=task)
    step = jax.jit(lambda state: train_step(state, BATCH, task=task))
    norms = []
    for _ in range(5):
        state, metrics = step(state)
        norms.append(float(metrics["gradient_norm"]))
    np.testing.assert_allclose(np.array(norms) / norms[-1], [4, 3, 2, 1, 1], rtol=1e-5)


def same_bits(a, b):
    return {path: np.array_equal(leaf, b[path]) for path, leaf in a.items()}


def test_stage_1_moves_only_what_leads_to_the_guided_layer():
    """Parameters, running statistics, and their bits, whatever the optimizer decays."""
    network = SmallConvNet(3, widths=(2, 3, 4))
    teacher = {LOGITS: np.zeros((6, 3), np.float32)}
    teacher["teacher/map"] = RANDOM.standard_normal((6, 2, 2, 5)).astype(np.float32)
    batch = {**BATCH, **teacher}
    term = tasks.hint("layer1", "map")
    rule = create_optimizer("nesterov", 0.1, weight_decay=0.1, clip_norm=1.0)
    student, rule = guided_student(network, term, batch, rule, preprocess=scale)
    task = hint_training(term, preprocess=scale)
    state = create_state(student, rule, batch, jax.random.key(0), task=task)
    assert state.params["projection_layer1"]["kernel"].shape == (1, 1, 2, 5)
    # A negative zero is a bit pattern that adding 0 would change.
    state.params["network"]["fc"]["bias"] = -jnp.zeros(3)
    before = jax.device_get(state.variables)
    step = jax.jit(lambda state: train_step(state, batch, task=task))
    first = step(state)[1]["loss"]
    for _ in range(3):
        state, metrics = step(state)
    assert metrics["loss"] < first
    after = jax.device_get(state.variables)
    for collection in ("params", "batch_stats"):
        kept = same_bits(flatten_dict(before[collection]), flatten_dict(after[collection]))
        for path, same in kept.items():
            assert same != (path[0] == "projection_layer1" or path[1] == "layer1"), path
    assert np.signbit(after["params"]["network"]["fc"]["bias"]).all()


def test_branches_that_do_not_lead_to_the_layer_are_not_moved():
    class Branches(nn.Module):
        @nn.compact
        def __call__(self, x):
            a, b = nn.Dense(2, name="a")(x), nn.Dense(2, name="b")(x)
            return nn.Dense(2, name="end")(nn.Dense(2, name="join")(a) + b)

    moved = moved_parameters(Tapped(Branches(), ("join",), until="join"), jnp.zeros((1, 2)))
    flags = {name: set(layer.values()) for name, layer in moved["network"].items()}
    assert flags == {"a": {True}, "b": {False}, "join": {True}, "end": {False}}


@pytest.mark.parametrize(
    ("own", "other", "kernel"), [(8, 6, (3, 3)), (8, 8, (1, 1)), (4, 8, (1, 1))]
)
def test_shapes_of_the_regressor(own, other, kernel):
    """N_h = N_g − k + 1; a larger hint is averaged down."""
    from jaxnets.tasks.distillation_terms import regressor

    module = regressor((1, own, own, 2), (1, other, other, 5))(name="r")
    assert tuple(module.kernel_size) == kernel
    shape = jax.eval_shape(
        lambda x: module.init_with_output(jax.random.key(0), x)[0], jnp.zeros((1, own, own, 2))
    ).shape
    assert shape == (1, min(own, other), min(own, other), 5)


def test_all_terms_train_one_student(own_teacher):
    """A convolutional teacher of the registry, a thinner student, every kind of term."""
    large = create_model("resnet20", blocks=1, widths=(2, 3, 4), num_classes=3)
    shapes = jax.eval_shape(
        lambda: tasks.Teacher(large, large.init(jax.random.key(0), scale(IMAGES)), scale).tapping(
            ("stage2", "stage3")
        )(IMAGES)
    )
    batch = BATCH | {k: RANDOM.standard_normal(v.shape).astype("f4") for k, v in shapes.items()}
    terms = [
        tasks.soft_targets(),
        tasks.hint("layer1", "stage2"),
        tasks.attention(("layer2/bn", "stage2")),
        tasks.relational("layer2/bn", "stage3"),
        tasks.contrastive("layer2", "stage3"),
    ]
    network = tasks.student_network(SmallConvNet(3, widths=(2, 3)), terms, batch, preprocess=scale)
    task = tasks.distillation(3, terms, preprocess=scale)
    state = create_state(network, optax.sgd(0.1), batch, jax.random.key(0), task=task)
    after, metrics = jax.jit(partial(train_step, task=task))(state, batch)
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"soft_targets", "hint", "attention", "relational", "contrastive"} <= set(metrics)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, after.params)
    assert all(jax.tree.leaves(moved))


def test_generations_teach_the_next_and_are_not_trained_twice(tmp_path):
    network = create_model("mlp", hidden=(), num_classes=3)
    source = Split(IMAGES, LABELS)
    options = {
        "num_classes": 3,
        "generations": 1,
        "optimizer": optax.sgd(0.1),
        "top": 3,
        "preprocess": scale,
        "epochs": 1,
        "batch_size": 6,
        "workdir": tmp_path,
        "options": QUIET,
    }
    found = tasks.train_generations(network, source, **options)
    # One step of the student by hand, from its own start, with the first network as teacher.
    teacher = tasks.Teacher(network, stored_variables(tmp_path / "generation0"), scale)
    terms = [tasks.soft_targets(temperature=1.0, weight=0.4)]
    task = tasks.distillation(3, terms, teacher=teacher, label_weight=0.6, preprocess=scale)
    state = create_state(network, optax.sgd(0.1), BATCH, jax.random.key(1), task=task)
    state, _ = jax.jit(partial(train_step, task=task))(state, BATCH)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        found[1].variables["params"],
        state.params,
    )
    again = tasks.train_generations(network, source, **options)
    assert [fitted.finished_before for fitted in again] == [True, True]


def test_the_student_begins_with_given_variables():
    assert as_student(Own(), {"params": 1}) == {"params": 1}
    wrapped = as_student(Tapped(Own()), {"params": {"a": 1}})
    assert tasks.student_variables(wrapped) == {"params": {"a": 1}}


def test_parts_of_the_parameters_move():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    rule = move_only(optax.sgd(1.0), lambda p: {"a": False, "b": True})
    updates, _ = rule.update(params, rule.init(params), params)
    after = optax.apply_updates(params, updates)
    assert after["a"].tolist() == [1, 1] and after["b"].tolist() == [0, 0]


TAUGHT = {**BATCH, LOGITS: np.zeros((6, 3)), "teacher/stage3": np.zeros((6, 2, 2, 4))}
SMALL = SmallConvNet(3, widths=(2, 3))


@pytest.mark.parametrize(
    ("network", "terms", "batch", "message"),
    [
        (SmallConvNet(7), [], TAUGHT, "the teacher has 3 classes and the student 7"),
        (SMALL, [], BATCH, "nobody teaches"),
        (SMALL, [tasks.hint("layr1", "stage3")], TAUGHT, "'layr1'. Did you mean 'layer1'"),
        (SMALL, [tasks.hint("layer1", "stage8")], TAUGHT, "'stage8'. Did you mean 'stage3'"),
        (SMALL, [tasks.hint("fc", "stage3")], TAUGHT, r"layers of shapes \(3,\) and \(2, 2, 4\)"),
        (
            SMALL,
            [tasks.hint("layer1", "stage3"), tasks.attention(("layer1", "stage3"))],
            TAUGHT,
            "'layer1' is looked at by several terms",
        ),
    ],
)
def test_students_that_do_not_fit_are_refused(network, terms, batch, message):
    with pytest.raises((TaskError, UnknownNameError), match=message):
        tasks.student_network(network, terms, batch, preprocess=scale)


def test_other_mistakes(own_teacher):
    with pytest.raises(ValueError, match="temperature: got 0"):
        tasks.soft_targets(temperature=0)
    with pytest.raises(TaskError, match=r"names \['soft_targets', 'soft_targets'\]"):
        tasks.distillation(3, [tasks.soft_targets(), tasks.soft_targets()])
    with pytest.raises(TaskError, match="label_weight: got -1"):
        tasks.distillation(3, [], label_weight=-1)
    with pytest.raises(TaskError, match="top: got 5; expected 2 to 3"):
        tasks.tolerant_classification(3, top=5)
    with pytest.raises(TaskError, match="eta: got 2"):
        tasks.tolerant_classification(3, top=2, eta=2)
    with pytest.raises(TaskError, match="generations: got -1"):
        tasks.train_generations(
            Own(), ArraySource(BATCH), num_classes=3, generations=-1, optimizer=keep(), workdir="x"
        )
    with pytest.raises(UnknownNameError, match=r"'Dense_8'\. Did you mean 'Dense_"):
        own_teacher.tapping(["Dense_8"])(IMAGES)
