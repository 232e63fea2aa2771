"""`experiments.evaluate` on weights that were trained elsewhere."""

import jax
import numpy as np
import pytest

from experiments import evaluate
from jaxnets import command
from jaxnets.data import Split, load_dataset
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained import save
from jaxnets.tasks import published as published_weights


def run(*arguments):
    return command.run(evaluate.main, evaluate.Config, [*map(str, arguments)])


@pytest.fixture
def published(prepared_datasets):
    if prepared_datasets is None:
        pytest.skip("needs CIFAR-10")
    weights = prepared_datasets.parent / "weights" / "resnet20-12fca82f.th"
    if not weights.exists():
        pytest.skip("needs the published weights beside the datasets")
    data = ("--dataset", "cifar10", "--data-dir", prepared_datasets)
    return ("--weights", weights, "--model", "resnet20", *data)


def test_the_published_resnet20_on_a_part_of_cifar10(published, tmp_path, monkeypatch, capsys):
    def first_500(name, **options):
        dataset = load_dataset(name, **options)
        part = Split(dataset.test.images[:500], dataset.test.labels[:500])
        return dataset._replace(test=part)

    monkeypatch.setattr(published_weights, "load_dataset", first_500)
    results = run(*published, "--workdir", tmp_path / "new", "--devices", 1)
    # 91.73 % of all; a part of 500 has a standard error of 1.2 %. A wrong normalization or layout
    # costs far more.
    assert results["examples"] == 500 and results["accuracy"] > 0.88
    assert results["model"] == "resnet20" and results["step"] is None
    assert (tmp_path / "new" / "evaluation.json").exists()
    assert f"resnet20 of {published[1]} on cifar10" in capsys.readouterr().out


@pytest.mark.slow
def test_the_published_resnet20_on_cifar10(published, tmp_path):
    results = run(*published, "--workdir", tmp_path)
    assert results["examples"] == 10_000
    # The published accuracy; an image may fall to the other side by float32's rounding.
    assert results["accuracy"] == pytest.approx(0.9173, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "w.pth"), "w.pth needs --model NAME"),
        (("--model", "resnet20"), "is of --weights FILE; give both, or a run"),
        (("--weights", "w.pth", "--model", "resnet20"), "go together; give --dataset"),
        (
            ("--weights", "w.pth", "--model", "resnt20", "--dataset", "digits"),
            "Did you mean 'resnet20'",
        ),
        (
            ("--weights", "w.pth", "--model", "lenet5", "--dataset", "digits"),
            "no published weights are known",
        ),
        (
            ("--weights", "w.pth", "--model", "resnet20", "--dataset", "digits", "--step", "3"),
            "--step is of a run",
        ),
        (("--weights", "w.pth", "--model", "alexnet", "--dataset", "digits"), "3 channel(s)"),
    ],
)
def test_mistakes_are_explained(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        run(*arguments)
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_images_of_another_kind_are_explained(tmp_path, capsys):
    """Gray 8×8 digits do not go into a network with weights for color images."""
    path = tmp_path / "w.safetensors"
    shapes = abstract_variables(create_model("resnet20"), (32, 32, 3))
    save("resnet20", jax.tree.map(lambda s: np.ones(s.shape, np.float32), dict(shapes)), path)
    with pytest.raises(SystemExit):
        run("--weights", path, "--model", "resnet20", "--dataset", "digits")
    assert "(8, 8, 1)" in capsys.readouterr().err
