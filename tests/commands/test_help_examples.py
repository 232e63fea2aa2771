"""The examples of every help text run: small forms of them all, and the cheap ones as they stand.

What an example names (a photograph, a folder, a run, published weights) is put in place; options
that it does not give take the values of the entry's ``smoke()``.
"""

import ast
import dataclasses
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from example_materials import make_materials, zeros
from photographs import write_photographs

from jaxnets import command, commands
from jaxnets.commands import train
from jaxnets.ops.convolution import table
from jaxnets.train import Checkpoints

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("JAXNETS_TEST_DATA") or ROOT.parent / "shared" / "data")
DIGITS = "runs/train_classifier/digits-lenet5"
# Small forms of entries without smoke().
SMALL = {
    "jaxnets.commands.train": "--train-examples 40 --epochs 1 --batch-size 4 --warmup-epochs 0",
    "jaxnets.commands.benchmark": "--batch-size 2 --steps 2 --image-size 32 --num-classes 3",
    "experiments.train_classifier": "--train-examples 160 --epochs 1 --batch-size 4",
    "experiments.training.benchmark_training": "--batch-size 2 --steps 2 --image-size 32",
    "experiments.claims.__main__": "--quick --only relu_is_fast",
}
# Files of published weights → what their copies are made from.
WEIGHTS = {
    "resnet20-12fca82f.th": "weights/resnet20-12fca82f.th",
    "compressed_SqueezeNet.net": "compression/compressed_SqueezeNet.net",
    "fastestdet.pth": "weights/fastestdet/fastestdet_280.pth",
    "checkpoint20.npz": "weights/g2p_en_checkpoint20.npz",
    "charrnn_bronte.tar.gz": "weights/charrnn_bronte.tar.gz",
}
PROGRAMS = ("jaxnets ", "python -m experiments.")
# Seconds on an idle core, so that everyone's run of the tests has them.
CHEAP = (
    "jaxnets models",
    "jaxnets inspect vgg16",
    f"jaxnets evaluate {DIGITS}",
    "jaxnets predict photo.jpg --workdir runs/mine",
    "jaxnets predict *.png",
    "jaxnets explain photo.jpg --workdir runs/mine",
    "python -m experiments.tuning.diagnose",
    "python -m experiments.convolution.fourier --image photo.jpg",
    "python -m experiments.predict",
)


def entries() -> dict[str, list[str]]:
    """Module of every entry → the examples of its help text."""
    found = {}
    files = [*(ROOT / "jaxnets" / "commands").glob("*.py"), *(ROOT / "experiments").rglob("*.py")]
    for path in sorted(files):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if "Command:" in text and path.name != "__init__.py":
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            lines = text.split("Command:")[1].split("Time:")[0]
            joined = re.sub(r"\\\n|  +(?=--)", " ", lines.replace("\\\n", " "))
            lines = [" ".join(line.split()) for line in joined.splitlines()]
            # What stands between the examples is said of them.
            found[name] = [line for line in lines if line.startswith(PROGRAMS)]
    return found


EXAMPLES = [(module, line) for module, lines in entries().items() for line in lines]


def is_cheap(line: str) -> bool:
    return any(line == cheap or line.startswith(f"{cheap} ") for cheap in CHEAP)


def test_every_entry_has_examples_and_the_cheap_ones_exist():
    assert len(entries()) > 35 and all(entries().values())
    lines = [line for _, line in EXAMPLES]
    for cheap in CHEAP:
        assert any(line == cheap or line.startswith(f"{cheap} ") for line in lines), cheap


def small_run(dataset: str, workdir: str, **options) -> None:
    """A LeNet-5 of two epochs, with a checkpoint after each."""
    how = {"devices": 1, "quiet": True, "checkpoint_seconds": 0.0, "log_every": 1}
    learned = {"model": "lenet5", "epochs": 4, "batch_size": 8, "warmup_epochs": 0.0}
    train.main(
        train.Config(dataset=dataset, workdir=Path(workdir), **{**learned, **how, **options})
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the examples name."""
    root, before = tmp_path_factory.mktemp("examples"), Path.cwd()
    os.chdir(root)
    try:
        rng = np.random.default_rng(0)
        for name, side in (("photo.jpg", 48), ("a.png", 8), ("b.png", 8)):
            pixels = rng.integers(0, 255, (side, side, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name)
        write_photographs(root / "photos", each=12)
        for old, new in (("blue_disk", "cat"), ("red_square", "dog")):
            shutil.copytree(root / "photos" / old, root / "pets" / new)
        for folder in ("n02099601", "407_ambulance"):
            shutil.copytree(root / "photos" / "blue_disk", root / "imagenet" / "val" / folder)
        shutil.copytree(root / "photos" / "white_cross", root / "DIRECTORY")
        for name, source in WEIGHTS.items():
            if (DATA / source).exists():
                shutil.copy(DATA / source, root / name)
        small_run("digits", DIGITS, train_examples=40)
        small_run("folder:pets", "runs/mine", image_size=32, batch_size=2)
        for name in ("a", "b"):
            shutil.copytree(DIGITS, root / "runs" / name)
        yield root
    finally:
        os.chdir(before)


def with_what_is_there(line: str, root: Path) -> list[str]:
    """The words of an example, with this machine's files in place of what it names."""
    words = shlex.split(line)
    found: list[str] = []
    for word in words:
        if word.startswith("*."):
            found += [path.name for path in sorted(root.glob(word))]
        elif word == "…" or word == "PATH/resnet20-12fca82f.th":
            found.append("resnet20-12fca82f.th")
        elif word in ("VENV/bin/python", "/path/to/python"):  # without the other library
            found.pop()
        elif word == "4000":
            checkpoints = Checkpoints(root / "runs" / "mine" / "checkpoints")
            found.append(str(checkpoints.steps()[-1]))
            checkpoints.close()
        elif word == "objects:pennfudan":
            found.append(f"objects:{DATA / 'detection' / 'pennfudan'}")
        else:
            found.append(word)
    return found


def missing(words: list[str], root: Path) -> str | None:
    """What an example needs that is not on this machine."""
    if "--runtimes" in words and importlib.util.find_spec("onnxruntime") is None:
        return "ONNX Runtime"
    for word in words:
        path = word.partition(":")[2] if word.startswith(("objects:", "folder:")) else word
        if word in WEIGHTS and not (root / word).exists():
            return word
        if word.startswith("objects:") and not Path(path).exists():
            return word
    return None


def overlay(module, config, words: list[str]):
    """The config with the entry's smoke values where the example gives none."""
    given = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in words}
    keep = given | {"workdir", "dataset", "weights", "image", "images", "layers", "data"}
    if given & {"workdir", "weights"}:  # of these the network is
        keep |= {"model", "teacher", "cfg"}
    small = getattr(module, "smoke", lambda: None)()
    values = {} if small is None else vars(small)
    changes = {
        name: value
        for name, value in values.items()
        if name not in keep and value != getattr(type(small)(), name, value)
    }
    # Options of a recipe, such as --recipe.network.
    options = {word.partition("=")[0][2:] for word in words if word.startswith("--")}
    for option in (name for name in options if "." in name):
        group, field = option.replace("-", "_").split(".")
        own = {field: getattr(getattr(config, group), field)}
        changes[group] = dataclasses.replace(changes.get(group, getattr(config, group)), **own)
    return dataclasses.replace(config, **changes)


def run_example(name: str, line: str, root: Path):
    """Run an example in its small form, through the parser that its command has."""
    words = make_materials(name, with_what_is_there(line, root))
    if (lacking := missing(words, root)) is not None:
        pytest.skip(f"needs {lacking}")
    arguments = words[2:] if words[0] == "jaxnets" else words[3:]
    module = importlib.import_module(name)
    known = {w for w in arguments if w.startswith("--")}
    if any(word.startswith("folder:") for word in arguments):  # small as it is
        known.add("--train-examples")
    extra = shlex.split(SMALL.get(name, ""))
    if "--train-examples" in extra:  # beside the run that is there
        extra += ["--workdir", f"runs/{'-'.join(words)}".replace("/", "-")[:60]]
    for option, value in zip(extra[::2], extra[1::2], strict=False):
        if option not in known:
            arguments += [option, value]
    positional = commands.COMMANDS[words[1]][1] if words[0] == "jaxnets" else None
    return command.run(
        lambda config: module.main(overlay(module, config, arguments)),
        module.Config,
        arguments,
        positional=positional,
        choose_defaults=getattr(module, "choose_defaults", None),
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        pytest.param(name, line, id=line, marks=[] if is_cheap(line) else [pytest.mark.slow])
        for name, line in EXAMPLES
    ],
)
def test_runs(name, line, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("JAXNETS_CACHE", str(place / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(DATA / "tfds"))
    # An example rewrites the table by which `auto` chooses, in a copy here.
    monkeypatch.setattr(table, "__file__", shutil.copy(table.__file__, place / "table.py"))
    monkeypatch.setattr(jax, "devices", lambda *backend, all=jax.devices: all(*backend)[:1])
    if "resnet50-0676ba61.pth" in line or "resnet50.pth" in line:
        zeros("resnet50", 224, place / "resnet50.safetensors")
        for other in ("resnet50-0676ba61.pth", "resnet50.pth"):
            shutil.copy(place / "resnet50.safetensors", place / other)
    result = run_example(name, line, place)
    assert isinstance(result, dict) and result
    assert "Traceback" not in capsys.readouterr().err
