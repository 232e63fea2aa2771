"""The main experiment from the command line: results, resuming, and messages for mistakes."""

import json
import re
import shutil
import struct

import numpy as np
import pytest

from experiments import evaluate, predict, train_classifier
from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.tasks import load_classifier
from jaxnets.train import read_metrics

QUICK = "--model mlp --train-examples 200 --epochs 2 --warmup-epochs 0 --batch-size 40 --devices 1"


def train(*arguments: str, quick: str = QUICK):
    return command.run(
        train_classifier.main,
        train_classifier.Config,
        [*quick.split(), *map(str, arguments)],
    )


def fails(capsys, call) -> str:
    """The message of a command that ends with status 2 and no traceback."""
    with pytest.raises(SystemExit) as exit:
        call()
    assert exit.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def size_of_png(path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def ink_of_png(path) -> float:
    """The standard deviation of the pixels: an empty picture has none."""
    from PIL import Image

    return float(np.asarray(Image.open(path).convert("L"), np.float64).std())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "digits"
    summary = command.run(
        train_classifier.main,
        train_classifier.Config,
        f"--model lenet5 --epochs 8 --devices 2 --quiet --workdir {workdir}".split(),
    )
    return workdir, summary


def test_leaves_everything_it_promises(finished):
    workdir, summary = finished
    assert json.loads((workdir / "summary.json").read_text()) == summary
    # Eight of the fifty epochs; chance is 10 %.
    assert summary["test_accuracy"] > 0.93
    assert summary["steps"] == 8 * (1437 // 64)
    assert re.fullmatch("[0-9a-f]{64}", summary["params_sha256"])
    assert summary["examples_per_second"] > 0 and summary["peak_memory_bytes"] > 2**20
    config = json.loads((workdir / "config.json").read_text())
    assert config["model"] == "lenet5" and "workdir" not in config
    for name in ("curves", "confusion", "filters"):
        assert min(size_of_png(workdir / f"{name}.png")) > 50
        assert ink_of_png(workdir / f"{name}.png") > 5
    records = read_metrics(workdir)
    assert [r["step"] for r in records if r["kind"] == "test"] == [22 * e for e in range(1, 9)]
    losses = [r["loss"] for r in records if r["kind"] == "train"]
    assert losses[-1] < 0.5 * losses[0]


def test_evaluate_agrees_with_the_run(finished, capsys):
    workdir, summary = finished
    results = command.run(evaluate.main, evaluate.Config, ["--workdir", str(workdir)])
    assert results["accuracy"] == summary["test_accuracy"]
    np.testing.assert_allclose(results["loss"], summary["test_loss"], rtol=1e-6)
    assert results["examples"] == 360
    assert "accuracy" in capsys.readouterr().out


def test_evaluate_averages_over_views(finished, tmp_path):
    workdir, _ = finished
    copy = shutil.copytree(workdir, tmp_path / "run")
    test = load_dataset("digits").test
    classifier, _ = load_classifier(copy)
    images = np.asarray(test.images)
    # Eight pixels with one of zeros around.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))
    crops = [padded[:, y : y + 8, x : x + 8] for y, x in corners]
    crops += [padded[:, y : y + 8, ::-1][:, :, x : x + 8] for y, x in corners]
    by_hand = {"flip": [images, images[:, :, ::-1]], "ten_crop": crops}
    for name, views in by_hand.items():
        arguments = ["--workdir", str(copy), "--views", name]
        results = command.run(evaluate.main, evaluate.Config, arguments)
        mean = np.mean([np.asarray(classifier(view)) for view in views], 0)
        right = (mean.argmax(1) == test.labels).mean()
        np.testing.assert_allclose(results["accuracy"], right, atol=1e-6)
        loss = -np.log(mean[np.arange(len(mean)), test.labels]).mean()
        np.testing.assert_allclose(results["loss"], loss, rtol=1e-4)
        assert results["views"] == name


def test_predict_reads_an_image(finished, tmp_path, capsys):
    from PIL import Image

    workdir, _ = finished
    test = load_dataset("digits").test
    files = []
    for index in range(12):
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(test.images[index, ..., 0]).save(files[-1])
    results = command.run(
        predict.main,
        predict.Config,
        ["--workdir", str(workdir), "--images", *map(str, files)],
    )
    classifier, _ = load_classifier(workdir)
    expected = np.asarray(classifier(np.asarray(test.images[:12])))
    for row, file in zip(expected, files, strict=True):
        ranking = results[str(file)]
        assert [name for name, _ in ranking] == [str(k) for k in np.argsort(-row)[:5]]
        np.testing.assert_allclose([p for _, p in ranking], np.sort(row)[:-6:-1], atol=1e-5)
    assert "%" in capsys.readouterr().out


def test_finished_run_is_reported_not_repeated(finished, capsys):
    workdir, summary = finished
    again = train("--workdir", workdir, quick="--model lenet5 --epochs 8 --devices 1")
    assert again == summary
    assert "This run is finished" in capsys.readouterr().out


def test_a_run_from_before_settings_existed_goes_on(finished, tmp_path, capsys):
    workdir, summary = finished
    copy = shutil.copytree(workdir, tmp_path / "run")
    settings = json.loads((copy / "config.json").read_text())
    older = {k: v for k, v in settings.items() if k not in ("loss", "drop_path", "balance")}
    assert len(older) == len(settings) - 3
    (copy / "config.json").write_text(json.dumps(older))
    assert train("--workdir", copy, quick="--model lenet5 --epochs 8 --devices 1") == summary
    other = "--model lenet5_1998 --loss map --label-smoothing 0 --epochs 8 --devices 1"
    message = fails(capsys, lambda: train("--workdir", copy, quick=other))
    assert "loss: the run has 'cross_entropy', asked for 'map'" in message


def test_changed_settings(finished, capsys):
    workdir, _ = finished
    before = (workdir / "summary.json").read_text()
    message = fails(
        capsys,
        lambda: train("--workdir", workdir, quick="--learning-rate 0.1 --epochs 8 --seed 5"),
    )
    assert "learning_rate: the run has 0.003, asked for 0.1" in message
    assert "seed: the run has 0, asked for 5" in message and "epochs" not in message
    assert (workdir / "summary.json").read_text() == before


def test_longer_training_on_request(tmp_path):
    workdir = tmp_path / "run"
    first = train("--workdir", workdir, "--quiet")
    longer = train("--workdir", workdir, "--quiet", "--epochs", "3", "--accept-changes")
    assert (first["steps"], longer["steps"]) == (10, 15)


def test_checkpoint_of_another_network(tmp_path, capsys):
    workdir = tmp_path / "run"
    train("--workdir", workdir, "--quiet")
    message = fails(
        capsys,
        lambda: train("--workdir", workdir, "--quiet", "--model", "lenet5", "--accept-changes"),
    )
    assert "another network, optimizer or number of classes" in message
    assert "missing in the checkpoint" in message


def test_evaluate_on_other_images(finished, capsys, prepared_datasets):
    if prepared_datasets is None:
        pytest.skip("needs a second dataset")
    arguments = ["--dataset", "mnist", "--data-dir", str(prepared_datasets)]
    message = fails(
        capsys,
        lambda: command.run(
            evaluate.main, evaluate.Config, ["--workdir", str(finished[0]), *arguments]
        ),
    )
    assert "(8, 8, 1)" in message and "(28, 28, 1)" in message


def test_nan_stops_and_names_step_and_checkpoint(tmp_path, capsys):
    workdir = tmp_path / "run"
    train("--workdir", workdir, "--quiet")
    diverging = ["--workdir", workdir, "--quiet", "--accept-changes", "--epochs", "40"]
    diverging += ["--learning-rate", "1e20", "--optimizer", "sgd"]
    # Another optimizer has another state; the same network is trained anew, into divergence.
    message = fails(capsys, lambda: train(*diverging, "--restart"))
    # Whatever is seen first.
    what = "the (loss|norm of the (gradient|parameters))"
    assert re.search(rf"{what} became (nan|inf) at step \d+", message)
    assert "Nothing was saved yet. A lower learning rate" in message
    assert not (workdir / "summary.json").exists()
    assert (tmp_path / "run.old-1" / "summary.json").exists()


def test_nan_after_a_good_checkpoint(tmp_path, capsys):
    workdir = tmp_path / "run"
    train("--workdir", workdir, "--quiet", "--optimizer", "momentum")
    message = fails(
        capsys,
        lambda: train(
            *("--workdir", workdir, "--quiet", "--accept-changes", "--optimizer", "momentum"),
            *("--epochs", "9", "--learning-rate", "1e20"),
        ),
    )
    assert "The last good checkpoint: of step 10 in" in message
    assert "A lower learning rate" in message and "--accept-changes" in message


def test_damaged_checkpoint_falls_back_and_says_so(tmp_path, capsys):
    workdir = tmp_path / "run"
    every = ("--checkpoint-seconds", "0", "--log-every", "5", "--quiet")
    whole = train("--workdir", workdir, *every)
    (workdir / "summary.json").unlink()
    largest = max(
        (p for p in (workdir / "checkpoints" / "10" / "state" / "d").iterdir()),
        key=lambda p: p.stat().st_size,
    )
    largest.write_bytes(largest.read_bytes()[:-20])
    again = train("--workdir", workdir, *every)
    assert "note: checkpoint of step 10 is passed over" in capsys.readouterr().out
    assert again["params_sha256"] == whole["params_sha256"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--model lenet", "unknown network 'lenet'. Did you mean 'lenet5'"),
        ("--dataset digit", "unknown dataset 'digit'. Did you mean 'digits'"),
        ("--optimizer adm", "unknown optimizer 'adm'. Did you mean 'adam'"),
        ("--schedule cosin", "unknown schedule 'cosin'. Did you mean 'cosine'"),
        ("--devices 99", "--devices 99: this machine has 8 cpu device(s)"),
        ("--batch-size 30 --devices 8", "30 examples cannot be shared by 8 devices"),
        ("--batch-size 0", "--batch-size must be above 0, got 0"),
        ("--learning-rate nan", "--learning-rate must be a finite number, got nan"),
        ("--label-smoothing 1", "--label-smoothing must lie in [0, 1), got 1.0"),
        ("--early-stopping 3", "add --validation 0.1"),
        ("--fine-tune head", "--fine-tune head needs --weights FILE"),
        ("--validation 1.5", "--validation must lie between 0 and 1, got 1.5"),
        ("--amp", "--amp is not needed"),
        ("--coordinator localhost:1", "go together"),
        ("--dataset cifar10 --data-dir /nowhere", "not prepared: looked in /nowhere/cifar10"),
        ("--model resnet20 --dtype float16", "float16"),
        ("--epohcs 3", "--epochs"),
    ],
)
def test_mistakes_are_explained(arguments, expected, tmp_path, capsys):
    message = fails(capsys, lambda: train(*arguments.split(), "--workdir", tmp_path / "run"))
    assert expected in message
    assert not (tmp_path / "run" / "config.json").exists()


def test_run_directory_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    message = fails(capsys, lambda: train("--workdir", tmp_path / "file" / "run"))
    assert "cannot be written" in message and "--workdir" in message


@pytest.mark.parametrize("experiment", [evaluate, predict])
def test_no_run_there(experiment, tmp_path, capsys):
    arguments = ["--workdir", str(tmp_path)]
    if experiment is predict:
        arguments += ["--images", "x.png"]
    message = fails(capsys, lambda: command.run(experiment.main, experiment.Config, arguments))
    assert "holds no run" in message and "train_classifier" in message


@pytest.mark.parametrize("kind", ["text", "truncated", "missing"])
def test_predict_refuses_what_is_no_image(kind, finished, tmp_path, capsys):
    path = tmp_path / "picture.png"
    if kind == "text":
        path.write_text("not an image")
    elif kind == "truncated":
        from PIL import Image

        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:1000])
    arguments = ["--workdir", str(finished[0]), "--images", str(path)]
    message = fails(capsys, lambda: command.run(predict.main, predict.Config, arguments))
    assert str(path) in message


def test_plateau_schedule_lowers_the_rate_and_resumes(tmp_path):
    summary = train("--workdir", tmp_path / "run", "--quiet", "--schedule", "plateau")
    assert summary["steps"] == 10


@pytest.mark.parametrize("options", ["--parallel jit", "--microbatches 2", "--dtype bfloat16"])
def test_other_ways_of_running(options, tmp_path):
    summary = train("--workdir", tmp_path / "run", "--quiet", *options.split())
    assert summary["test_accuracy"] > 0.3
