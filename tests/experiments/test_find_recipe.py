"""The guided search: what it leaves, that it goes on, and that it refuses what cannot work."""

import dataclasses
import json

import pytest

from experiments import train_classifier
from experiments.tuning import diagnose, find_recipe
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.tasks.recipe import Recipe
from jaxnets.tune import comparison
from jaxnets.tune.recipe_report import command_line


def tiny(path, **changes):
    return dataclasses.replace(find_recipe.smoke(), workdir=path / "run", **changes)


def test_leaves_a_report_and_goes_on_where_it_was(tmp_path, capsys):
    config = tiny(tmp_path, restart=False, quiet=False)
    first = find_recipe.main(config)
    written = {path.name for path in config.workdir.iterdir()}
    assert {"report.md", "recipe.json", "summary.json", "study.db", "rates.png"} <= written
    assert {"search.png", "comparison.json"} <= written
    assert len(first["comparison"]["found"]) == len(first["comparison"]["default"]) == 2
    assert first["trials"] == [4, 2]
    assert any(row["settings"] == {} for row in first["finals"])
    means = [row["mean"] for row in first["finals"]]
    assert means == sorted(means, reverse=True) and first["valid_accuracy"] == means[0]
    assert first["steps"]["first_loss"]["ok"] and first["steps"]["overfit"]["ok"]
    recipe = Recipe(**json.loads((config.workdir / "recipe.json").read_text()))
    for name, value in first["settings"].items():
        assert getattr(recipe, name) == value
    assert first["command"] == command_line(recipe)
    text = (config.workdir / "report.md").read_text()
    assert first["command"] in text and "all of 20 images are right" in text
    assert "test accuracy after 2 epochs, 2 keys" in capsys.readouterr().out

    # As after a kill: the trials and pairs that are on the disk are not run again.
    (config.workdir / "summary.json").unlink()
    again = find_recipe.main(config)
    assert again == first
    # A finished one goes on with a larger budget, and keeps what it has.
    # Of trials that are added, one may reach the finals and win.
    more = find_recipe.main(dataclasses.replace(config, fine_trials=3, keys=3))
    assert more["trials"] == [4, 3]
    assert len(more["comparison"]["found"]) == 3
    with pytest.raises(JaxnetsError, match="epochs: the run has 2, asked for 3"):
        find_recipe.main(dataclasses.replace(config, epochs=3))


def test_a_default_that_won_runs_once_a_key_and_fills_the_bar(tmp_path):
    class Bar:
        count = 0

        def update(self, more):
            self.count += more

    recipe = Recipe(model="mlp", epochs=1, warmup_epochs=0.0)
    bar, digits = Bar(), load_dataset("digits", train_examples=100)
    measured = comparison.compare_on_test_set(
        recipe, {}, digits, keys=2, store=tmp_path / "pairs.json", progress=bar
    )
    assert measured["found"] == measured["default"] and measured["difference"] == 0
    assert measured["verdict"] == "nothing better than the default was found"
    assert bar.count == 4


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"space": ("learning_rate=log:1e-1:1e-4",)}, "lower limit 0.1 is not below"),
        ({"coarse_trials": 1}, "--coarse-trials 1 is too small a budget"),
        ({"fine_trials": 1}, "--fine-trials 1 is too small"),
        ({"keys": 1}, "--keys 1 is too small"),
        ({"coarse_epochs": 3}, "--coarse-epochs 3 is above --epochs 2"),
        ({"train_examples": 12}, "12 training images are too few for 10 classes"),
        ({"validation": 0.01}, "fewer images than the 10 classes"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, changes, words):
    with pytest.raises(JaxnetsError, match=words):
        find_recipe.main(tiny(tmp_path, **changes))


def test_unknown_names_offer_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="'learning_rate'"):
        find_recipe.main(tiny(tmp_path, space=("learning_rat=log:1e-3:1e-1",)))
    with pytest.raises(UnknownNameError, match="'lenet5'"):
        find_recipe.main(tiny(tmp_path, model="lenet"))


def test_command_line_gives_the_recipe_back():
    import tyro

    recipe = Recipe(model="mlp", learning_rate=0.0123, augment="none", label_smoothing=0.0)
    words = command_line(recipe).split()[3:]
    config = tyro.cli(train_classifier.Config, args=words)
    for field in dataclasses.fields(Recipe):
        assert getattr(config, field.name) == getattr(recipe, field.name)


def test_diagnosis_of_a_finished_run(tmp_path, capsys):
    run = dataclasses.replace(
        train_classifier.smoke(),
        workdir=tmp_path / "run",
        epochs=4,
        train_examples=400,
        log_every=2,
    )
    train_classifier.main(run)
    config = diagnose.Config(workdir=run.workdir, target=tmp_path / "diagnosis")
    (found,) = diagnose.main(config).values()
    assert found["kind"] in diagnose.ADVICE and found["finding"]
    assert (config.target / "curves.png").stat().st_size > 10_000
    with pytest.raises(JaxnetsError, match=r"has no metrics\.jsonl"):
        diagnose.main(dataclasses.replace(config, workdir=tmp_path / "nowhere"))


def test_every_typical_curve_is_named_as_it_is(tmp_path):
    for seed in (2, 4, 5):
        config = dataclasses.replace(diagnose.smoke(), target=tmp_path, seed=seed)
        assert all(name == entry["kind"] for name, entry in diagnose.main(config).items())
