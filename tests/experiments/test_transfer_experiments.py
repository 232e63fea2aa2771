"""The experiments on transfer and ensembles: their parts, their promises, their bad input."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments import train_classifier
from experiments.ensembles import ensemble
from experiments.transfer import fine_tune_few, transfer_strategies, transferability
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.models.counting import abstract_variables
from jaxnets.tasks import load_classifier


def test_transferability_checks_its_bits(tmp_path):
    summary = transferability.main(replace(transferability.smoke(), workdir=tmp_path))["random"]
    assert summary["bit_checks"]
    assert {len(rows) for rows in summary["accuracy_minus_baseB"].values()} == {2}
    assert (tmp_path / "transferability.png").stat().st_size > 10_000


def test_transfer_fills_the_table(tmp_path):
    summary = transfer_strategies.main(replace(transfer_strategies.smoke(), workdir=tmp_path))
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


@pytest.mark.parametrize(
    ("experiment", "changes", "message"),
    [
        (ensemble, {"members": 1}, "--members must be at least 2, got 1"),
        (ensemble, {"steps": 3}, "--steps 3 is too short for 2 members"),
        (ensemble, {"learning_rate": 0.0}, "--learning-rate must be above 0"),
        (transferability, {"keys": 0}, "--keys and --steps must be at least 1"),
        (transferability, {"learning_rate": -1.0}, "--learning-rate must be above 0"),
        (transfer_strategies, {"keys": 0}, "--keys must be at least 1"),
        (transfer_strategies, {"small": 20}, "--small 20 must lie between 0 and --large 20"),
        (transfer_strategies, {"fine_tuning_rate": 0.0}, "--fine-tuning-rate must be above 0"),
        (transfer_strategies, {"freeze_to": "layer7"}, "unknown layer 'layer7'. Did you mean"),
        (transfer_strategies, {"weights": "/nowhere/w.th"}, "/nowhere/w.th"),
    ],
)
def test_mistakes_say_what_was_wrong(experiment, changes, message, tmp_path):
    config = replace(experiment.smoke(), workdir=tmp_path, **changes)
    with pytest.raises(JaxnetsError, match=message):
        experiment.main(config)


def test_as_many_images_to_learn_from_as_there_are_leave_no_test(tmp_path):
    config = replace(fine_tune_few.smoke(), per_class=1000, workdir=tmp_path)
    with pytest.raises(JaxnetsError, match=r"--per-class 1000: a class has .* choose less than"):
        fine_tune_few.main(config)


@pytest.mark.slow
def test_transfer_of_a_residual_network_fills_the_table(tmp_path):
    """The ResNet in the small network's place: its first stages stay as they are in "top"."""
    config = replace(transfer_strategies.smoke(), residual_blocks=1, keys=1, workdir=tmp_path)
    study = transfer_strategies.build_study(config)
    assert study.stages == ["stem", "stage1", "stage2", "stage3"]
    summary = transfer_strategies.main(config)
    assert len(summary["cells"]) == 4
    counts = summary["trainable_parameters"]
    assert counts["probe"] == 64 * 5 + 5
    params = abstract_variables(study.network, (8, 8, 3))["params"]
    assert counts["full"] == sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("experiment", [transferability, transfer_strategies])
def test_finished_keys_are_kept(experiment, tmp_path, monkeypatch):
    """A run that is killed in its second key goes on there, and ends as an undisturbed one."""
    config = replace(experiment.smoke(), workdir=tmp_path / "one")
    study = {
        transferability: transferability.TransferabilityStudy,
        transfer_strategies: transfer_strategies.StrategyStudy,
    }[experiment]
    measured, calls, original = [], 0, study.one_key

    def one_key(self, *args):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        measured.append(original(self, *args))
        return measured[-1]

    monkeypatch.setattr(study, "one_key", one_key)
    with pytest.raises(KeyboardInterrupt):
        experiment.main(config)
    found = experiment.main(config)
    assert calls == 3 and len(measured) == 2
    monkeypatch.setattr(study, "one_key", original)
    assert experiment.main(config) == found
    whole = experiment.main(replace(config, workdir=tmp_path / "other"))
    assert json.dumps(whole, default=str) == json.dumps(found, default=str)
