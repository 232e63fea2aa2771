"""Settings at their extremes: one sentence that names the option, and nothing left behind."""

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jaxnets import command
from jaxnets.errors import JaxnetsError
from jaxnets.tasks import Recipe, train_classifier
from jaxnets.train import RunOptions

ROOT = Path(__file__).resolve().parents[2]
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"seed": 2**63}, r"--seed must be below 2\*\*63"),
        ({"seed": -1}, "--seed must be 0 or more"),
        *(({"learning_rate": rate}, "--learning-rate must be") for rate in (NAN, INF, 0, -1)),
        *(({name: NAN}, "must be a finite number") for name in ("weight_decay", "mixup", "cutmix")),
        ({"warmup_epochs": NAN}, "--warmup-epochs must be a finite number"),
        ({"label_smoothing": NAN}, "--label-smoothing must be"),
        ({"clip_norm": NAN}, "--clip-norm must be"),
        *(({"epochs": epochs}, "--epochs must be above 0") for epochs in (0, -3)),
        *(({"batch_size": size}, "--batch-size must be above 0") for size in (0, -64)),
        ({"batch_size": 10**12}, "batch_size is 1000000000000"),
        ({"microbatches": 0}, "--microbatches must be above 0"),
        *(({"train_examples": count}, "train_examples is") for count in (0, -1, 10**9)),
        ({"cutout": -1}, "--cutout must be 0 or more"),
        ({"epochs": 10**12}, "more than the 2,147,483,647 updates"),
        ({"model": "alexnet"}, r"--model alexnet cannot work on images \(8, 8, 1\) of digits"),
    ],
    ids=str,
)
def test_recipes_that_no_run_can_have(recipe, message, tmp_path):
    settings = {"model": "mlp", "schedule": "constant", **recipe}
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True)
    with pytest.raises(JaxnetsError, match=message):
        train_classifier(Recipe(**settings), options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"devices": count}, f"--devices {count}") for count in (0, -1, 1000)),
        *(({"log_every": count}, "--log-every must be at least 1") for count in (0, -1)),
        ({"keep": 0}, "--keep must be at least 1"),
        ({"evaluate_every": -1}, "--evaluate-every must be at least 1, or 0"),
        ({"checkpoint_seconds": NAN}, "--checkpoint-seconds must be 0 or more"),
        ({"num_processes": 2}, "go together"),
        ({"coordinator": "a:1", "num_processes": 0, "process_id": 0}, "--process-id 0 of"),
        ({"workdir": Path("gs://bucket/run")}, "is an address; runs live in a file system"),
        ({"workdir": Path("/proc/no/such")}, "cannot be written"),
    ],
    ids=str,
)
def test_options_that_no_run_can_have(options, message):
    with pytest.raises(JaxnetsError, match=message):
        train_classifier(
            Recipe(model="mlp"), RunOptions(**{"quiet": True, "devices": 1, **options})
        )
    assert not Path("gs:").exists()


@dataclass(frozen=True)
class Config:
    text: str = "→ 0 … 1"


def test_a_small_character_set_is_no_error(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    command.run(lambda config: print(config.text), Config, [])
    assert stream.buffer.getvalue().decode("cp1252").strip() == "\\u2192 0 … 1"


def test_a_closed_output_is_one_sentence(monkeypatch, capsys):
    def main(config):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", sys.stdout)
    with pytest.raises(SystemExit) as ended:
        command.run(main, Config, [])
    sys.stdout.close()  # what was put in its place
    assert ended.value.code == 2
    assert "the output was closed before all of it was written" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"JAX_PLATFORMS": "gpuu"}, "JAX cannot work on JAX_PLATFORMS=gpuu"),
        ({"XLA_FLAGS": "--xla_no_such_flag=1"}, "knows no flag --xla_no_such_flag"),
    ],
    ids=str,
)
def test_the_real_command_in_an_environment_that_is_wrong(variables, message, tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "experiments.train_classifier", "--workdir", tmp_path / "run"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2 and "Traceback" not in process.stderr
    assert message in process.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_real_command_trains_on_when_nobody_reads(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.train_classifier", "--workdir", tmp_path / "run"),
            *["--model", "mlp", "--train-examples", "100", "--epochs", "2", "--warmup-epochs", "0"],
        ],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert "Traceback" not in process.stderr
    assert (tmp_path / "run" / "summary.json").exists()
