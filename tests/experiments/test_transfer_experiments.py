"""The experiments on transfer and ensembles: their parts, their promises, their bad input."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments import ensemble, train_classifier, transfer, transferability
from experiments.transfer_study import data as tasks
from experiments.transfer_study.statistics import interval, percent, verdict
from jaxnets.data import Dataset, Split, load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.tasks import load_classifier


def test_transferability_checks_its_bits(tmp_path):
    summary = transferability.main(replace(transferability.smoke(), workdir=tmp_path))["random"]
    assert summary["bit_checks"]
    assert {len(rows) for rows in summary["accuracy_minus_baseB"].values()} == {2}
    assert (tmp_path / "transferability.png").stat().st_size > 10_000


def test_a_changed_bit_is_seen():
    one = {"params": {"layer1": {"w": np.zeros(3, np.float32)}, "fc": {"w": np.ones(2)}}}
    two = jax.tree.map(np.copy, one)
    two["params"]["fc"]["w"][0] = 5
    assert transferability.equal_bits(one, two, ("layer1",))
    two["params"]["layer1"]["w"][1] = -0.0
    assert not transferability.equal_bits(one, two, ("layer1",))


def test_transfer_fills_the_table(tmp_path):
    summary = transfer.main(replace(transfer.smoke(), workdir=tmp_path))
    assert set(summary["cells"]) == {
        f"{size} {kind}" for size in ("small", "large") for kind in ("similar", "different")
    }
    advised = [entry["advice"]["way"] for entry in summary["cells"].values()]
    assert sorted(advised) == ["full", "probe", "stage probe", "top"]
    counts = summary["trainable_parameters"]
    # fc: 6 features, 5 classes; layer2: 4·9·6 weights and 12 of the normalization.
    assert counts["probe"] == 35 and counts["top"] == 35 + 216 + 12
    assert counts["full"] == counts["top"] + 27 * 4 + 8
    assert (tmp_path / "transfer.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "summary.json").read_text())["keys"] == 2


def test_ensemble_keeps_jensens_promise(tmp_path):
    summary = ensemble.main(replace(ensemble.smoke(), workdir=tmp_path))
    assert summary["loss_is_at_most_the_members_mean"]
    table = summary["table"]
    assert table["one"]["disagreement"]["mean"] == table["swa"]["disagreement"]["mean"] == 0
    assert table["networks"]["disagreement"]["mean"] > 0
    assert (tmp_path / "ensemble.png").stat().st_size > 10_000


@pytest.mark.slow
def test_ensemble_of_finished_runs(tmp_path, capsys):
    """The mean softmax of two runs, computed here from the classifiers."""
    places = [tmp_path / "a", tmp_path / "b"]
    for seed, place in enumerate(places):
        train_classifier.main(replace(train_classifier.smoke(), workdir=place, seed=seed))
    config = ensemble.Config(runs=tuple(places), workdir=tmp_path / "both")
    found = ensemble.main(config)
    test = load_dataset("digits").test
    p = [np.asarray(load_classifier(place)[0](test.images)) for place in places]
    mean = np.mean(p, 0)
    assert found["accuracy"] == pytest.approx((mean.argmax(-1) == test.labels).mean())
    loss = -np.log(mean[np.arange(360), test.labels]).mean()
    assert found["loss"] == pytest.approx(loss, rel=1e-4)
    assert found["disagreement"] == pytest.approx((p[0].argmax(1) != p[1].argmax(1)).mean())
    assert len(found["runs"]) == 2 and "together: accuracy" in capsys.readouterr().out
    with pytest.raises(JaxnetsError, match=r"checkpoint\(s\), 9 were asked for; train with --keep"):
        ensemble.main(replace(config, last=9))
    with pytest.raises(JaxnetsError, match="holds no run"):
        ensemble.main(replace(config, runs=(tmp_path / "nothing",)))


def test_halves_share_no_class_and_number_their_own():
    digits = load_dataset("digits")
    for halves in (tasks.random_halves(digits, 3), tasks.natural_halves(digits)):
        assert sorted(halves[0] + halves[1]) == list(range(10))
    assert tasks.random_halves(digits, 3) != tasks.random_halves(digits, 4)
    made, animals = tasks.natural_halves(digits._replace(name="cifar10"))
    assert made == [0, 1, 8, 9] and animals == [2, 3, 4, 5, 6, 7]
    task = tasks.choose_classes("x", digits, [7, 2])
    sevens = np.asarray(digits.train.labels) == 7
    np.testing.assert_array_equal(
        task.train.images[task.train.labels == 0], digits.train.images[sevens]
    )
    assert set(task.train.labels.tolist()) == {0, 1} and task.num_classes == 2
    few = tasks.take(task.train, 3, 0)
    assert np.bincount(few.labels).tolist() == [3, 3]


def test_images_are_brought_to_one_size():
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    down = tasks._bring_to(images, 2, 3)
    assert down.shape == (2, 2, 2, 3)
    assert down[0, 0, 0, 0] == round((0 + 1 + 4 + 5) / 4)
    up = tasks._bring_to(images, 8, 1)
    np.testing.assert_array_equal(up[:, ::2, ::2], images)
    # 28 → 32 with a black border → 16.
    assert tasks._bring_to(np.full((1, 28, 28, 1), 9, np.uint8), 16, 1)[0, :, :, 0].sum() == 9 * 196
    with pytest.raises(JaxnetsError, match="can't be repeated"):
        tasks._bring_to(images, 6, 1)


def test_scrambled_pixels_are_the_same_pixels():
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 4, 2), np.uint8)
    dataset = Dataset(
        "x", Split(images, np.zeros(3)), Split(images, np.zeros(3)), ("a",), (4, 4, 2)
    )
    found = tasks.scramble_pixels(dataset).train.images
    assert np.any(found != images)
    for old, new in zip(images, found, strict=True):
        rows = sorted(map(tuple, old.reshape(-1, 2).tolist()))
        assert sorted(map(tuple, new.reshape(-1, 2).tolist())) == rows


def test_intervals_and_verdicts():
    """Student's t for n = 4: the half width is 3.1824·s/√4."""
    found = interval([1.0, 2.0, 3.0, 4.0])
    assert found["high"] - found["mean"] == pytest.approx(3.182446 * np.sqrt(5 / 3) / 2, rel=1e-5)
    assert [verdict(interval(x)) for x in ([1, 1.1, 1.2], [-1, -1.1, -1.2], [-1, 1, 2], [5.0])] == [
        "holds",
        "fails",
        "undecided",
        "undecided",
    ]
    assert percent(interval([0.5])) == "50.0"


@pytest.mark.parametrize(
    ("experiment", "changes", "message"),
    [
        (ensemble, {"members": 1}, "--members must be at least 2, got 1"),
        (ensemble, {"steps": 3}, "--steps 3 is too short for 2 members"),
        (ensemble, {"rate": 0.0}, "--rate must be above 0"),
        (transferability, {"keys": 0}, "--keys and --steps must be at least 1"),
        (transferability, {"rate": -1.0}, "--rate must be above 0"),
        (transfer, {"keys": 0}, "--keys must be at least 1"),
        (transfer, {"small": 20}, "--small 20 must lie between 0 and --large 20"),
        (transfer, {"fine_tuning_rate": 0.0}, "--fine-tuning-rate must be above 0"),
        (transfer, {"freeze_to": "layer7"}, "unknown layer 'layer7'. Did you mean"),
        (transfer, {"weights": "/nowhere/w.th"}, "/nowhere/w.th"),
    ],
)
def test_mistakes_say_what_was_wrong(experiment, changes, message, tmp_path):
    config = replace(experiment.smoke(), workdir=tmp_path, **changes)
    with pytest.raises(JaxnetsError, match=message):
        experiment.main(config)
