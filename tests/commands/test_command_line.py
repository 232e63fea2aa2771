"""The command line: sub-commands, spellings, messages; nothing here is compiled."""

import dataclasses
import re
import shlex

import pytest

from jaxnets import command, commands
from jaxnets.commands import models, predict, train
from jaxnets.errors import JaxnetsError, StoppedTogether
from jaxnets.models import list_models
from jaxnets.tasks import apply_recipe, list_recipes
from jaxnets.tasks.default_recipes import describe_recipe


def parse(name: str, *words: str):
    """The Config that ``jaxnets NAME WORDS`` runs with."""
    module = __import__(f"jaxnets.commands.{name}", fromlist=["Config"])
    positional = commands.COMMANDS[name][1]
    return command.run(lambda config: config, module.Config, words, positional=positional)


def fails(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        commands.main(words)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        commands.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in commands.COMMANDS)
    assert "Did you mean 'train'?" in fails(capsys, "trian")
    assert "usage: jaxnets COMMAND" in fails(capsys)
    with pytest.raises(SystemExit):
        commands.main(["--version"])
    assert re.fullmatch(r"jaxnets \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_the_examples_of_every_help_text_parse(name):
    module = __import__(f"jaxnets.commands.{name}", fromlist=["Config"])
    text = module.__doc__.split("Command:")[1].split("Time:")[0].replace("\\\n", " ")
    examples = [line.strip() for line in text.splitlines() if line.strip()]
    assert examples
    for example in examples:
        program, sub, *words = shlex.split(example)
        assert (program, sub) == ("jaxnets", name)
        parse(name, *words)


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_mistakes_name_the_command(name, capsys):
    # A word without dashes is what some commands cannot do without.
    message = fails(capsys, name, "x", "--no-such-option", "3")
    assert f"jaxnets {name}" in message and "no-such-option" in message


def test_other_programs_names_of_options_are_understood():
    config = parse("train", "photos", "--lr", "0.5", "--bs=7", "--arch", "mlp", "--wd", "0.1")
    assert (config.learning_rate, config.batch_size, config.model) == (0.5, 7, "mlp")
    assert (config.dataset, config.weight_decay) == ("photos", 0.1)
    assert parse("train", "--val-split", "0.1", "--patience", "3").early_stopping == 3
    assert parse("train", "--no-quiet").quiet is False
    assert str(parse("evaluate", "runs/a", "--ckpt", "w.pth").workdir) == "runs/a"
    config = parse("predict", "--workdir", "runs/a", "--images", "a.png", "b.png", "--topk", "2")
    assert [str(path) for path in config.images] == ["a.png", "b.png"] and config.top == 2
    assert [str(p) for p in parse("predict", "a.png", "--model", "vgg16").images] == ["a.png"]


def test_spellings_of_the_experiments():
    from experiments.ensembles import ensemble
    from experiments.tuning import diagnose

    def parse_entry(entry, *words: str):
        return command.run(lambda config: config, entry.Config, words)

    found = parse_entry(ensemble, "--rate", "0.3", "--side", "8", "--runs", "runs/a", "runs/b")
    assert (found.learning_rate, found.image_size) == (0.3, 8)
    assert [str(path) for path in found.runs] == ["runs/a", "runs/b"]
    assert str(parse_entry(diagnose, "--run", "runs/mine").workdir) == "runs/mine"
    found = parse("train", "--rate", "0.5", "--side", "48", "--run", "runs/x")
    assert (found.learning_rate, found.image_size, str(found.workdir)) == (0.5, 48, "runs/x")


@pytest.mark.parametrize(
    "words",
    [
        "folder:photos --epochs 3 --quiet",
        "--epochs 3 folder:photos --quiet",
        "--quiet --epochs 3 folder:photos",
        "--epochs 3 --quiet folder:photos",
        "--epochs=3 folder:photos --quiet",
        "--dataset folder:photos --epochs 3 --quiet",
        "--epochs 3 --quiet --data folder:photos",
    ],
)
def test_what_a_command_works_on_may_stand_anywhere(words):
    found = parse("train", *words.split())
    assert (found.dataset, found.epochs, found.quiet) == ("folder:photos", 3, True)


def test_words_that_stand_alone():
    assert str(parse("evaluate", "--step", "3", "runs/a").workdir) == "runs/a"
    found = parse("predict", "--top", "2", "a.png", "--invert", "b.png", "--workdir", "runs/a")
    assert [str(path) for path in found.images] == ["a.png", "b.png"] and found.invert
    # Values of an option that takes several stay with it.
    assert parse("train", "--log", "wandb", "tensorboard").log == ("wandb", "tensorboard")
    assert parse("inspect", "--image-size", "64", "resnet18").model == "resnet18"


def test_short_help_and_negative_numbers(capsys):
    for words in (["train", "-h"], ["evaluate", "-h"], ["predict", "-h"], ["train", "--help"]):
        with pytest.raises(SystemExit) as caught:
            commands.main(words)
        assert caught.value.code == 0
        assert f"usage: jaxnets {words[0]}" in capsys.readouterr().out
    assert parse("train", "--seed", "-1").seed == -1


def test_two_sets_are_too_many(capsys):
    message = fails(capsys, "train", "folder:a", "folder:b")
    assert "folder:b" in message or "dataset" in message


def test_what_is_not_needed_is_said(capsys):
    assert "--dtype bfloat16" in fails(capsys, "train", "--amp")
    assert "JAX_PLATFORMS" in fails(capsys, "train", "--device", "cuda")
    assert "--restart begins anew" in fails(capsys, "train", "--resume")


def test_spellings_lead_to_options_that_exist():
    known = set()
    for name in commands.COMMANDS:
        module = __import__(f"jaxnets.commands.{name}", fromlist=["Config"])
        known |= {f.name.replace("_", "-") for f in dataclasses.fields(module.Config)}
    # Of experiments.
    known |= {"models", "image", "test-examples", "max-minutes", "tolerance", "rounds"}
    wrong = {option for options in command.SPELLINGS.values() for option in options} - known
    assert wrong == set()


def test_models_lists_by_pattern(capsys):
    found = commands.main(["models", "resnet1*"])
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == list(found)
    assert set(found) == {n for n in list_models() if n.startswith("resnet1")}
    assert "11,689,512 parameters" in shown[0] and "torchvision resnet18" in shown[0]
    with_weights = models.main(models.Config("*", weights=True))
    assert 40 < len(with_weights) < len(list_models())
    assert "Did you mean 'resnet50'" in fails(capsys, "models", "resnt50")


def test_recipes_suit_network_and_data_and_given_options_win():
    chosen = train.choose_defaults(train.Config())
    # The digits' run is what it always was.
    assert dataclasses.replace(chosen, recipe=None) == train.Config()
    photos = apply_recipe(train.Config(model="resnet20"), "photos", examples=20)
    assert photos.batch_size == 8 and photos.learning_rate < 0.02
    for name in list_recipes():
        made = apply_recipe(train.Config(), name, examples=50_000)
        made.check()
        assert made.optimizer in describe_recipe(made)
    with pytest.raises(JaxnetsError, match="Did you mean 'cifar'"):
        apply_recipe(train.Config(), "cifr", examples=1)
    config = command.run(
        lambda config: config,
        train.Config,
        ["--recipe", "cifar", "--lr", "0.3", "--train-examples", "100"],
        choose_defaults=train.choose_defaults,
    )
    assert config.learning_rate == 0.3 and config.weight_decay == 1e-4


def test_warm_up_shrinks_to_fit():
    assert train.Config(epochs=1).warmup == 0.25
    assert train.Config(epochs=2).warmup == 1.0
    assert train.Config(epochs=2, warmup_epochs=5.0).warmup == 0.5


def test_weights_and_networks_go_together(capsys, tmp_path):
    assert "needs --model NAME" in fails(capsys, "train", "--weights", "w.pth")
    assert "needs --model NAME" in fails(capsys, "predict", "a.png", "--weights", "w.pth")
    assert "no published weights are known" in fails(
        capsys, "predict", "a.png", "--weights", "w.pth", "--model", "lenet5"
    )
    missing = str(tmp_path / "w.pth")
    assert "no such file" in fails(
        capsys, "predict", "a.png", "--weights", missing, "--model", "resnet20"
    )


def test_a_picture_of_a_prediction(tmp_path):
    found = [("a name that is much longer than the place that there is for it", 0.9), ("b", 0.1)]
    predict.save_prediction(np_zeros(), found, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def np_zeros():
    import numpy as np

    return np.zeros((8, 8, 1), np.uint8)


@pytest.mark.parametrize(("stop", "orderly"), [(KeyboardInterrupt, False), (StoppedTogether, True)])
def test_ctrl_c_ends_at_once_unless_others_wait(monkeypatch, capsys, stop, orderly):
    @dataclasses.dataclass(frozen=True)
    class Config:
        seed: int = 0

    def main(config):
        raise stop

    class GoneError(Exception):
        """In place of the end of this process."""

    def end(status):
        raise GoneError(status)

    monkeypatch.setattr(command, "_end", end)
    with pytest.raises(SystemExit if orderly else GoneError) as caught:
        command.run(main, Config, [])
    assert caught.value.args == (130,) and capsys.readouterr().err == "interrupted\n"
