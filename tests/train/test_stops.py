"""A run that is stopped, cannot write, or fails: nothing is lost, and one sentence says why."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import command
from jaxnets.data import ArraySource
from jaxnets.data.batch import BatchError
from jaxnets.errors import JaxnetsError
from jaxnets.train import (
    Checkpoints,
    Evaluator,
    RunDirectory,
    RunOptions,
    Task,
    TaskError,
    fit,
    read_metrics,
)

RNG = np.random.default_rng(0)
AUDIO = RNG.normal(size=(60, 3)).astype(np.float32)
ARRAYS = {"audio": AUDIO, "targets": AUDIO @ np.float32([[1], [2], [3]])}
STEPS = 45  # three epochs of 60 / 4
MODEL = nn.Dense(1)  # one object: compiled once


def loss(outputs, updates, batch):
    error = jnp.square(outputs - batch["targets"]).mean()
    return error, {"half": error / 2}


def measure(outputs, batch):
    mask = batch["example_mask"]
    return {"error": ((mask * jnp.square(outputs - batch["targets"])[:, 0]).sum(), mask.sum())}


TASK = Task(inputs=lambda batch: batch["audio"], loss=loss, measure=measure)


class Acting(ArraySource):
    """A source that does something when it hands out its n-th batch."""

    def __init__(self, at: int, act):
        super().__init__(ARRAYS)
        self.at, self.act, self.count = at, act, 0

    def take(self, rows):
        self.count += 1
        if self.count == self.at:
            self.act()
        return super().take(rows)


def run(workdir, source=None, *, task=TASK, rate=0.01, **options):
    return fit(
        MODEL,
        source or ArraySource(ARRAYS),
        task=task,
        optimizer=optax.sgd(rate, momentum=0.9),
        epochs=3,
        batch_size=4,
        workdir=workdir,
        settings={"rate": rate},
        options=RunOptions(devices=1, quiet=True, **{"evaluate_every": 0, **options}),
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return run(workdir).summary["params_sha256"], (workdir / "metrics.jsonl").read_text()


# ---- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_stop_between_two_records_leaves_them_exact(number, undisturbed, tmp_path, request):
    """The steps before the stop count in the next record, to the last digit."""
    workdir = tmp_path / "run"
    # Tests that run under nohup are deaf to SIGHUP themselves.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    stop = Acting(18, lambda: os.kill(os.getpid(), getattr(signal, number)))
    if number == "SIGINT":
        with pytest.raises(KeyboardInterrupt):
            run(workdir, stop)
    else:
        assert run(workdir, stop).interrupted
    (step,) = Checkpoints(workdir / "checkpoints").steps()
    assert 0 < step < STEPS and step % 10
    assert run(workdir).summary["params_sha256"] == undisturbed[0]
    assert (workdir / "metrics.jsonl").read_text() == undisturbed[1]


def test_saves_do_not_wait_for_a_record(tmp_path):
    workdir = tmp_path / "run"
    stop = Acting(18, lambda: os.kill(os.getpid(), signal.SIGTERM))
    run(workdir, stop, log_every=1000, checkpoint_seconds=0.0, keep=100)
    steps = Checkpoints(workdir / "checkpoints").steps()
    assert len(steps) > 5 and steps[0] == 1
    assert read_metrics(workdir) == []


def test_nohup_stays_deaf_to_the_terminal(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hang_up = Acting(18, lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert not run(tmp_path / "run", hang_up).interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


# ---- a disk that is full, files in the way -------------------------------------------------------


def limited(count: int):
    """From here on no file may grow beyond ``count`` bytes: as on a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (count, resource.RLIM_INFINITY))


@pytest.fixture
def unlimited_again():
    yield
    limited(-1)


def test_a_full_disk_is_one_sentence_and_the_run_goes_on(undisturbed, tmp_path, unlimited_again):
    workdir = tmp_path / "run"
    # The log has grown by then; a checkpoint's smallest file is larger than this.
    full = Acting(25, lambda: limited(64))
    with pytest.raises(JaxnetsError, match=r"cannot (write|save) .*run/.*: File too") as caught:
        run(workdir, full, checkpoint_seconds=0.0)
    assert len(str(caught.value)) < 600
    limited(-1)
    assert Checkpoints(workdir / "checkpoints").newest_whole() > 10
    assert run(workdir).summary["params_sha256"] == undisturbed[0]
    assert (workdir / "metrics.jsonl").read_text() == undisturbed[1]


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "summary.json", "checkpoints"])
def test_a_folder_or_file_in_the_way_is_named(name, tmp_path):
    if name == "checkpoints":
        (tmp_path / name).write_text("a file")
    else:
        (tmp_path / name / "inside").mkdir(parents=True)
    with pytest.raises(JaxnetsError, match=name):
        run(tmp_path)


@pytest.mark.slow
def test_the_real_command_ends_where_nothing_can_be_saved(tmp_path):
    """With threads of Orbax and of the data about, an exit may wait for them forever."""
    (tmp_path / "checkpoints").write_text("a file")
    process = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.train_classifier", "--workdir", tmp_path),
            *[
                "--model",
                "mlp",
                "--train-examples",
                "100",
                "--epochs",
                "2",
                "--warmup-epochs",
                "0",
                "--quiet",
            ],
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 2 and "Traceback" not in process.stderr
    assert "no checkpoints can lie in" in process.stderr


def test_errors_of_the_system_end_a_command_with_a_sentence(capsys, tmp_path):
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Config:
        pass

    def full(config):
        raise OSError(28, "No space left on device", str(tmp_path / "x.png"))

    def no_device(config):
        raise RuntimeError("Unable to initialize backend 'gpuu': not in the list of known backends")

    def in_the_way(config):
        (tmp_path / "file").touch()
        (tmp_path / "file" / "folder").mkdir()

    def bug(config):
        raise RuntimeError("a fault of ours")

    cases = {full: "x.png: No space left on device. Make room", no_device: "gpuu"}
    cases[in_the_way] = "file/folder: Not a directory"
    for main, words in cases.items():
        with pytest.raises(SystemExit) as ended:
            command.run(main, Config, [])
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert words in error and error.startswith("error: ") and "Traceback" not in error
    with pytest.raises(RuntimeError, match="fault of ours"):
        command.run(bug, Config, [])


# ---- runs that come to nothing, and runs that diverge -------------------------------------------


def wrong_loss(outputs, updates, batch):
    return outputs.mean(), {"step": outputs.mean()}


def test_a_first_step_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(TaskError, match="names a metric 'step', which a record of metrics has"):
        run(tmp_path / "run", task=TASK._replace(loss=wrong_loss))
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    with pytest.raises(TaskError):
        run(tmp_path / "mine", task=TASK._replace(loss=wrong_loss))
    assert {p.name for p in (tmp_path / "mine").iterdir()} <= {"notes.txt", ".lock"}
    # So other settings are no change of a run.
    run(tmp_path / "mine", rate=0.02)


def test_divergence_is_explained_in_words_of_the_library(tmp_path):
    with pytest.raises(JaxnetsError, match="lower learning rate") as caught:
        run(tmp_path / "run", rate=1e30)
    assert "Nothing was saved yet" in str(caught.value)
    assert "--learning-rate" not in str(caught.value)


# ---- what is measured ----------------------------------------------------------------------------


def test_results_that_would_overwrite_a_records_own_fields(tmp_path):
    def summarize(sums):
        return {"kind": 1.0}

    task = TASK._replace(summarize=summarize)
    with pytest.raises(TaskError, match="names a result 'kind'"):
        fit(
            MODEL,
            ArraySource(ARRAYS),
            task=task,
            optimizer=optax.sgd(0.01),
            epochs=1,
            batch_size=4,
            workdir=tmp_path / "run",
            test=ArraySource(ARRAYS),
            options=RunOptions(devices=1, quiet=True),
        )


def test_text_in_a_measured_source_is_refused_at_once():
    from jaxnets.train import DataParallel, choose_devices

    names = ArraySource({**ARRAYS, "name": np.array(["a"] * 60)})
    parallel = DataParallel("jit", choose_devices(1))
    with pytest.raises(BatchError, match="holds <U1 as 'name'"):
        Evaluator(TASK, MODEL.apply, names, parallel)


# ---- settings, copies, restarts ---------------------------------------------------------------


def test_a_checkpoint_of_another_run_is_not_gone_on_from(tmp_path, capsys):
    run(tmp_path / "a")
    run(tmp_path / "b", rate=0.02)
    shutil.rmtree(tmp_path / "b" / "checkpoints")
    shutil.copytree(tmp_path / "a" / "checkpoints", tmp_path / "b" / "checkpoints")
    (tmp_path / "b" / "summary.json").unlink()
    with pytest.raises(JaxnetsError, match=r"none of the checkpoints .* is whole"):
        run(tmp_path / "b", rate=0.02)
    assert "was saved by another run" in capsys.readouterr().out
    # A run as a whole may be copied.
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    assert run(tmp_path / "c").finished_before


def test_a_damaged_summary_is_written_anew(tmp_path):
    first = run(tmp_path / "run").summary
    for damage in ("{", "[]", ""):
        (tmp_path / "run" / "summary.json").write_text(damage)
        assert run(tmp_path / "run").summary["params_sha256"] == first["params_sha256"]
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == STEPS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2**63}, "seed must be"),
        ({"seed": -1}, "seed must be"),
        ({"epochs": float("nan")}, "epochs must be"),
        ({"epochs": 10**9}, "more than the 2,147,483,647 updates"),
        ({"workdir": "gs://bucket/run"}, "is an address; runs live in a file system"),
        ({"options": RunOptions(checkpoint_seconds=float("nan"))}, "--checkpoint-seconds"),
        ({"options": RunOptions(checkpoint_seconds=-1.0)}, "--checkpoint-seconds"),
    ],
    ids=str,
)
def test_values_that_no_run_can_have(changes, message, tmp_path):
    arguments = {
        "task": TASK,
        "optimizer": optax.sgd(0.1),
        "epochs": 1,
        "batch_size": 4,
        "workdir": tmp_path / "run",
        "options": RunOptions(devices=1, quiet=True),
    }
    with pytest.raises(JaxnetsError, match=message):
        fit(MODEL, ArraySource(ARRAYS), **{**arguments, **changes})
    assert list(tmp_path.iterdir()) == []


def test_restart_where_the_directory_must_stay(tmp_path, monkeypatch):
    """`--workdir .`, and a container's volume, which cannot be renamed."""
    (tmp_path / "code.py").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        (tmp_path / "summary.json").write_text("{}")
        RunDirectory(".", {"a": number}, restart=True).close()
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": 2}
    assert json.loads((tmp_path / "old-1" / "config.json").read_text()) == {"a": 1}
    assert (tmp_path / "code.py").exists() and not (tmp_path / "old-1" / "code.py").exists()
    monkeypatch.chdir("/")

    def busy(self, target):
        raise OSError(16, "Device or resource busy")

    with monkeypatch.context() as patch:
        real = type(tmp_path).rename
        patch.setattr(
            type(tmp_path),
            "rename",
            lambda self, target: busy(self, target) if self == tmp_path else real(self, target),
        )
        directory = RunDirectory(tmp_path, {"a": 3}, restart=True)
    assert directory.moved_to == tmp_path / "old-2"
    directory.close()
    assert json.loads((tmp_path / "old-2" / "config.json").read_text()) == {"a": 2}


def test_a_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    RunDirectory("~/run", {}).close()
    assert (tmp_path / "run" / "config.json").exists()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    import fcntl

    def flock(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    RunDirectory(tmp_path / "run", {}).close()
