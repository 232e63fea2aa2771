"""The task of two streams, and folds over people."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models.video import FrameCNN, TwoStream
from jaxnets.study import video_folds
from jaxnets.tasks import separate_streams, video_classification

LAYERS = ((4, 3, 1, 1, 1, False, True),)


def network():
    stream = FrameCNN(3, LAYERS, fc_widths=(5,), dropout_rate=0.0)
    return TwoStream(stream, stream.clone())


def test_each_stream_learns_as_if_alone():
    rng = np.random.default_rng(0)
    clip = jnp.asarray(rng.standard_normal((4, 3, 8, 8, 1)), jnp.float32)
    flow = jnp.asarray(rng.standard_normal((4, 2, 8, 8, 2)), jnp.float32)
    batch = {"clip": clip, "flow": flow, "label": jnp.array([0, 1, 2, 1])}
    model, task = network(), separate_streams(video_classification(3))
    variables = model.init(jax.random.key(0), **task.inputs(batch))
    assert set(variables) == {"params"} and task.mutable == ("streams",)

    def loss(params):
        outputs, updates = model.apply(
            {"params": params}, **task.inputs(batch), mutable=list(task.mutable)
        )
        return task.loss(outputs, updates, batch)[0]

    def alone(params, name, x):
        logits = model.spatial.apply({"params": params[name]}, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

    params = variables["params"]
    found = jax.grad(loss)(params)
    stack = jnp.moveaxis(flow, 1, 3).reshape(4, 8, 8, 4)
    inputs = {"spatial": clip[:, 1], "temporal": stack}
    total = 0.0
    for name, x in inputs.items():
        value, gradient = jax.value_and_grad(alone)(params, name, x)
        total += value / 2
        want = jax.tree.map(lambda leaf: leaf / 2, gradient[name])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found[name], want)
    np.testing.assert_allclose(loss(params), total, rtol=1e-6)
    # What is measured and predicted is the average of both.
    outputs = model.apply(variables, **task.inputs(batch))
    sums = task.measure(outputs, {**batch, "example_mask": jnp.ones(4, bool)})
    assert float(sums["loss"][1]) == 4
    np.testing.assert_allclose(jnp.exp(outputs).sum(-1), 1, rtol=1e-5)


def test_every_person_is_the_test_once_and_clips_count_alike(monkeypatch, tmp_path):
    class People:
        names = ("ann", "bob")

    monkeypatch.setattr(video_folds, "read_weizmann", lambda path: People)
    asked = []

    def train_one(person, workdir):
        asked.append((person, workdir.name))
        share = {"ann": (1.0, 30, 1.0, 3), "bob": (0.5, 10, 0.0, 1)}[person]
        names = ("clip_accuracy", "clips", "video_accuracy", "videos")
        return dict(zip(names, share, strict=True))

    found = video_folds.leave_one_person_out("weizmann:file.npz", tmp_path, train_one)
    assert asked == [("ann", "ann"), ("bob", "bob")]
    assert (found["clip_accuracy"], found["clips"]) == (35 / 40, 40)
    assert (found["video_accuracy"], found["videos"]) == (3 / 4, 4)
    assert json.loads((tmp_path / "summary.json").read_text())["people"]["bob"]["clips"] == 10
    # A run that was stopped has no accuracy yet: nothing is claimed of all.
    stopped = video_folds.leave_one_person_out("weizmann:f", tmp_path / "b", lambda *_: {"step": 3})
    assert "clip_accuracy" not in stopped and not (tmp_path / "b").exists()
    with pytest.raises(JaxnetsError, match="held-out all"):
        video_folds.leave_one_person_out("folder:videos", tmp_path, train_one)


def test_streams_are_said_to_no_one_who_does_not_ask():
    model = network()
    clip, flow = jnp.zeros((1, 3, 8, 8, 1)), jnp.zeros((1, 2, 8, 8, 2))
    variables = model.init(jax.random.key(0), clip, flow)
    assert isinstance(model, nn.Module)
    assert model.apply(variables, clip, flow).shape == (1, 3)
