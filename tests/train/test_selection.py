"""`train.fit` on a data set: a validation split decides, own modules are trained and reopened."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import data, tasks, train
from jaxnets.errors import JaxnetsError

OPTIONS = train.RunOptions(devices=1, quiet=True)


class Linear(nn.Module):
    """A network of one's own: no ``train``, and in no registry."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, name="out")(x.reshape(len(x), -1))


@pytest.fixture
def squares():
    """Class 1 is brighter; 40 images to train on, 20 to test on."""
    labels = np.arange(60, dtype=np.int32) % 2
    noise = np.random.default_rng(0).integers(0, 120, (60, 2, 2, 1))
    images = (noise + 100 * labels[:, None, None, None]).astype(np.uint8)
    return data.make_dataset("squares", (images[:40], labels[:40]), test=(images[40:], labels[40:]))


def to_unit(images):
    return images / 128 - 1


def test_five_lines_train_a_network_of_ones_own_and_reopen_it(squares, tmp_path):
    fitted = train.fit(
        Linear(),
        squares,
        optimizer=optax.adam(0.05),
        task=tasks.classification(2, preprocess=to_unit),
        workdir=tmp_path,
        options=OPTIONS,
    )
    assert fitted.measured["accuracy"] == fitted.summary["accuracy"] > 0.8
    assert (tmp_path / "curves.png").exists()
    classifier, step = tasks.load_classifier(tmp_path, network=Linear(), preprocess=to_unit)
    assert step == fitted.summary["steps"]
    found = np.asarray(classifier(squares.test.images)).argmax(1)
    assert (found == squares.test.labels).mean() == fitted.measured["accuracy"]
    again = train.reopen(tmp_path, Linear())
    jax.tree.map(np.testing.assert_array_equal, again.variables, fitted.variables)


def test_reopening_says_what_is_missing(squares, tmp_path):
    task = tasks.classification(2, preprocess=to_unit)
    options = {"optimizer": optax.sgd(0.1), "task": task, "options": OPTIONS, "epochs": 1}
    train.fit(Linear(), squares, workdir=tmp_path / "own", **options)
    with pytest.raises(JaxnetsError, match="network of your own: hand the module in"):
        tasks.load_classifier(tmp_path / "own")
    with pytest.raises(JaxnetsError, match="preprocessing of its own"):
        tasks.load_classifier(tmp_path / "own", network=Linear())

    class Other(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, name="out")(x.reshape(len(x), -1))

    with pytest.raises(JaxnetsError, match="out/kernel"):
        tasks.load_classifier(tmp_path / "own", network=Other(), preprocess=to_unit)
    with pytest.raises(JaxnetsError, match="out/kernel"):
        train.reopen(tmp_path / "own", Other(), task=task, example_batch=squares.test.take([0]))
    train.fit(Linear(), squares.train, workdir=tmp_path / "bare", **options)
    with pytest.raises(JaxnetsError, match="does not know its classes"):
        tasks.load_classifier(tmp_path / "bare", network=Linear())


def choose_by_epoch(values):
    """A task whose validation loss follows a curve: the parameter counts the epochs."""

    class Counter(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.param("count", nn.initializers.zeros, ()) + 0 * x.mean()

    def loss(output, updates, batch):
        return output, {}

    def measure(output, batch):
        epoch = jnp.round(output).astype(int) - 1
        mask = batch["example_mask"]
        value = jnp.asarray(values)[epoch] + 10.0 * batch["label"][0]
        return {"loss": (value * mask.sum(), mask.sum())}

    # The gradient is 1 and the rate −1: each step adds one.
    task = train.Task(lambda batch: batch["image"] / 255.0, loss, measure)
    return Counter(), task


def sources(count, label):
    images = np.zeros((count, 1, 1, 1), np.uint8)
    return data.Split(images, np.full(count, label, np.int32))


def run(tmp_path, values, *, rule=2, last=8, interrupt=None, **options):
    network, task = choose_by_epoch(values)
    return train.fit(
        network,
        sources(4, 0),
        optimizer=optax.sgd(-1.0),
        task=task,
        epochs=last,
        batch_size=4,
        validation=sources(4, 0),
        test=sources(4, 1),
        early_stopping=rule,
        workdir=tmp_path,
        options=OPTIONS,
        **options,
    )


CURVE = [5.0, 3.0, 1.0, 2.0, 2.5, 0.5, 0.1, 0.0]


def test_the_best_on_validation_is_kept_and_the_test_is_looked_at_once(tmp_path):
    fitted = run(tmp_path, CURVE)
    # Epochs 4 and 5 are no better than 3: stopped after 5, although 6 would have been better.
    assert fitted.summary["steps"] == 5
    assert float(fitted.variables["params"]["count"]) == 3
    assert fitted.measured["loss"] == 1.0 + 10
    kinds = [record["kind"] for record in train.read_metrics(tmp_path)]
    assert kinds.count("validation") == 5 and kinds.count("test") == 1 and kinds[-1] == "test"
    # Whoever reopens the run gets the best, and on request those of a step.
    assert float(train.reopen(tmp_path).variables["params"]["count"]) == 3
    assert float(train.reopen(tmp_path, step=5).variables["params"]["count"]) == 5


def test_without_a_rule_all_epochs_run_and_the_best_is_kept(tmp_path):
    fitted = run(tmp_path, [5.0, 1.0, 3.0], rule=None, last=3)
    assert fitted.summary["steps"] == 3 and float(fitted.variables["params"]["count"]) == 2


def test_higher_may_be_better(tmp_path):
    fitted = run(tmp_path, [1.0, 3.0, 2.0], rule=train.EarlyStopping(1, mode="max"))
    assert fitted.summary["steps"] == 3 and float(fitted.variables["params"]["count"]) == 2


def test_a_killed_run_remembers_what_was_best(tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def kill(fitted):
        raise Killed

    with pytest.raises(Killed):
        run(tmp_path, CURVE, summarize=kill)
    resumed = run(tmp_path, CURVE)
    assert float(resumed.variables["params"]["count"]) == 3
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == 5


def test_early_stopping_needs_a_validation_split(squares, tmp_path):
    with pytest.raises(JaxnetsError, match=r"--validation 0\.1"):
        train.fit(
            Linear(),
            squares,
            optimizer=optax.sgd(0.1),
            task=tasks.classification(2),
            early_stopping=3,
            workdir=tmp_path,
            options=OPTIONS,
        )
