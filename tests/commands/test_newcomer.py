"""A newcomer's path, from a folder of pictures to a fine-tuned network, as the guide shows it."""

import dataclasses
import itertools
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from photographs import COLORS, write_photographs

from jaxnets import commands, transfer
from jaxnets.models import Paper, create_model, registry
from jaxnets.pretrained import load, save
from jaxnets.tasks import Recipe, load_classifier
from jaxnets.train import RunOptions

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide" / "photos.md"


def guide_steps() -> list[tuple[list[str], list[str]]]:
    """(words of the command, lines that it prints) of each step of the guide."""
    blocks = re.findall(r"```(sh|text)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    steps = []
    for (language, command), (kind, printed) in itertools.pairwise(blocks):
        if language == "sh" and kind == "text":
            steps.append((shlex.split(command.replace("\\\n", " ")), printed.splitlines()))
    return steps


def shape(lines: list[str]) -> list[str]:
    """What must be equal: the first word of each line, numbers and order of classes left out."""
    words = []
    for line in filter(None, map(str.strip, lines)):
        word = re.sub(r"[\d.,]+", "N", line.split()[0])
        word = "CLASS" if line.split()[0] in COLORS else word
        word = "NETWORK" if "MACs an image" in line or " of step " in line else word
        words.append("PERCENT" if re.match(r"[\d.]+ %", line) else word)
    return words


def test_the_guide_has_all_steps():
    steps = guide_steps()
    assert [words[1] for words, _ in steps] == ["train", "train", "evaluate", "predict", "train"]
    assert all(words[0] == "jaxnets" and printed for words, printed in steps)


class Tiny(nn.Module):
    """A network that compiles in a moment, for whose weights there is a file."""

    num_classes: int | None = 10

    @nn.compact
    def __call__(self, x, *, train=False):
        stem = nn.relu(nn.Conv(4, (3, 3), (4, 4), padding=1, name="stem")(x))
        if self.num_classes is None:
            return {"stem": stem}
        return nn.Dense(self.num_classes, name="head")(stem.mean((1, 2)))


@pytest.fixture
def tiny(tmp_path):
    @registry.register(
        paper=Paper("Nobody", "A network of a test", 2026),
        parameters=162,
        macs=0,
        input_size=32,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        weights=("jaxnets tiny",),
        family="tiny",
    )
    def tiny(*, num_classes: int | None = 10, name: str | None = None) -> Tiny:
        return Tiny(num_classes=num_classes, name=name)

    variables = jax.jit(create_model("tiny").init)(jax.random.key(0), np.zeros((1, 32, 32, 3)))
    save("tiny", variables, tmp_path / "tiny.safetensors")
    yield tmp_path / "tiny.safetensors"
    del registry._REGISTRY["tiny"]


def test_every_step_prints_what_the_guide_prints(tiny, tmp_path, monkeypatch, capsys):
    """In this process, with a network that compiles in a moment."""
    write_photographs(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(jax, "devices", lambda *backend, all=jax.devices: all(*backend)[:1])
    results = []
    for words, printed in guide_steps():
        words = [
            str(tiny) if w.endswith(".th") else w.replace("resnet20", "tiny") for w in words[1:]
        ]
        if words[0] == "train" and "--model" not in words:
            words += ["--model", "tiny"]
        results.append(commands.main(words))
        lines = capsys.readouterr().out.splitlines()
        epochs = [line for line in lines if line.startswith("epoch ")]
        shown = [line for line in printed if line.startswith("epoch ")]
        assert len(epochs) == len(shown)
        assert shape(lines) == shape(printed)
    first, longer, evaluated, predicted, tuned = results
    # Resumed, not begun again: two epochs of two steps.
    assert (first["steps"], longer["steps"]) == (2, 4)
    assert evaluated["accuracy"] == longer["test_accuracy"]
    ((name, ranking),) = predicted.items()
    assert name.endswith("0.jpg") and abs(sum(p for _, p in ranking) - 1) < 1e-5
    assert (tmp_path / "runs" / "photos" / "predictions" / "0.png").exists()
    assert tuned["steps"] == 40 and tuned["epochs"] == 20
    for picture in ("curves", "confusion", "filters"):
        assert (tmp_path / "runs" / "tuned" / f"{picture}.png").exists()


def test_frozen_layers_keep_the_files_weights(tiny, tmp_path, monkeypatch):
    """Head only: the stem is the file's, bit for bit. Gradual: three runs, and everything moves."""
    write_photographs(tmp_path / "photos", each=3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    _, variables = load("tiny", tiny)
    begun = np.asarray(variables["params"]["stem"]["kernel"])
    recipe = Recipe("folder:photos", model="tiny", weights=str(tiny), epochs=3, batch_size=8)
    for way in ("head", "all", "gradual"):
        options = RunOptions(workdir=tmp_path / way, devices=1, quiet=True)
        transfer.fine_tune(dataclasses.replace(recipe, fine_tune=way), options)
        classifier, _ = load_classifier(tmp_path / way)
        stem = np.asarray(classifier.variables["params"]["stem"]["kernel"])
        assert (stem == begun).all() == (way == "head")
        np.testing.assert_allclose(classifier.info.mean, 127.5)
    phases = sorted(p.name for p in (tmp_path / "gradual" / "phases").iterdir())
    assert phases == ["1"]  # of two groups, stem and head: the head alone, then both
    frozen, _ = load_classifier(tmp_path / "gradual" / "phases" / "1")
    assert (np.asarray(frozen.variables["params"]["stem"]["kernel"]) == begun).all()


@pytest.mark.slow
def test_in_a_fresh_environment(tmp_path):
    """The guide's own commands, by the installed program, beside a clone called jaxnets."""
    weights = ROOT.parent / "shared" / "data" / "weights" / "resnet20-12fca82f.th"
    if not weights.exists():
        pytest.skip("needs the published weights of ResNet-20")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    clone = tmp_path / "jaxnets"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-e", str(clone)], check=True)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")}
    environment = {**kept, "JAXNETS_CACHE": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [python, "-c", "import jaxnets; print(jaxnets.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(found.stdout.strip()) == clone / "jaxnets" / "__init__.py"
    write_photographs(tmp_path / "photos")
    (tmp_path / weights.name).write_bytes(weights.read_bytes())
    for words, printed in guide_steps():
        done = subprocess.run(
            [tmp_path / "venv" / "bin" / words[0], *words[1:]],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert shape(done.stdout.splitlines()) == shape(printed)
