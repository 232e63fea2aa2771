"""Several processes through the real command: they end, stop, fail and resume together."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained import save
from jaxnets.study.drawn_pictures import draw_pictures
from jaxnets.train import Checkpoints, Processes, read_metrics
from jaxnets.train.processes import join
from jaxnets.train.run_directory import read_json

ROOT = Path(__file__).resolve().parents[2]

# 48 examples are shared by one, two and three processes; a save at every log window.
ARGUMENTS = (
    "--model mlp --train-examples 320 --epochs 40 --evaluate-every 40 --batch-size 48 --log-every 2"
    " --checkpoint-seconds 0.05"
)
STEPS = 40 * (320 // 48)


def start(
    workdir: Path,
    count: int,
    *more: str,
    program: str = f"experiments.train_classifier {ARGUMENTS}",
) -> list[subprocess.Popen]:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
        "JAX_PLATFORMS": "cpu",
    }
    together = f"--coordinator localhost:{port} --num-processes {count} --process-id".split()
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", *program.split(), "--workdir", str(workdir)),
                *([] if count == 1 else [*together, str(index)]),
                *more,
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(count)
    ]


def wait(processes: list[subprocess.Popen], seconds: float = 240) -> list[tuple[int, str]]:
    """Status and output of each, all of which end in time."""
    deadline, ends = time.monotonic() + seconds, []
    try:
        for process in processes:
            output, _ = process.communicate(timeout=max(1, deadline - time.monotonic()))
            ends.append((process.returncode, output))
    finally:
        for process in processes:
            process.kill()
    return ends


def finish(workdir: Path, count: int, seconds: float = 240, **options: str) -> None:
    for status, output in wait(start(workdir, count, **options), seconds):
        assert status == 0 and "Traceback" not in output, output[-3000:]
    assert (workdir / "summary.json").exists()


def wait_for_training(workdir: Path, processes: list[subprocess.Popen], lines: int) -> None:
    """Until so many lines of metrics are there: the run is beyond its compilation and saving."""
    deadline = time.monotonic() + 240
    while len(read_metrics(workdir)) < lines:
        assert time.monotonic() < deadline, "the run got nowhere in four minutes"
        assert all(p.poll() is None for p in processes), wait(processes)
        time.sleep(0.05)


def final_arrays(workdir: Path, steps: int = STEPS) -> dict[str, np.ndarray]:
    checkpoints = Checkpoints(workdir / "checkpoints")
    found = checkpoints.restore()
    checkpoints.close()
    assert found.step == steps
    return found.arrays


def assert_same(
    workdir: Path, single: dict[str, np.ndarray], steps: int = STEPS, parts: tuple[str, ...] = ("",)
) -> None:
    found = final_arrays(workdir, steps)
    assert found.keys() == single.keys()
    assert any(path.startswith(parts) for path in single)
    for path, expected in single.items():
        if not path.startswith(parts):
            continue
        # Means over two and three parts round otherwise than over the whole.
        np.testing.assert_allclose(found[path], expected, rtol=1e-6, atol=2e-5, err_msg=path)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("single") / "run"
    finish(workdir, 1)
    return final_arrays(workdir)


def test_two_processes_save_and_end_as_one_does(single, tmp_path):
    workdir = tmp_path / "run"
    finish(workdir, 2)
    assert_same(workdir, single)
    # Every two steps a line of metrics, and the evaluation at the end: the log of one process.
    assert len(read_metrics(workdir)) == STEPS // 2 + 1
    # A finished run that is called again ends on all processes; other settings do so with 2.
    ends = wait(start(workdir, 2, "--quiet"))
    assert [status for status, _ in ends] == [0, 0], ends
    ends = wait(start(workdir, 2, "--learning-rate", "0.1"))
    assert [status for status, _ in ends] == [2, 2], ends
    assert "learning_rate: the run has 0.003, asked for 0.1" in ends[0][1]
    assert "Traceback" not in ends[0][1] + ends[1][1]


def test_sigterm_to_one_stops_all_and_three_processes_resume(single, tmp_path):
    workdir = tmp_path / "run"
    processes = start(workdir, 2)
    wait_for_training(workdir, processes, lines=5)
    processes[1].send_signal(signal.SIGTERM)
    ends = wait(processes, seconds=90)
    assert [status for status, _ in ends] == [0, 0], ends
    stopped = re.search(r"stopped and saved at step (\d+)", ends[0][1])
    assert stopped and 10 <= int(stopped[1]) < STEPS
    assert not (workdir / "summary.json").exists()
    finish(workdir, 3)
    assert_same(workdir, single)


@pytest.mark.parametrize("victim", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_sigkill_of_one_ends_the_other_with_a_sentence(victim, single, tmp_path):
    workdir = tmp_path / "run"
    processes = start(workdir, 2)
    wait_for_training(workdir, processes, lines=8)
    processes[victim].kill()
    other = processes[1 - victim]
    ((status, output),) = wait([other], seconds=60)
    processes[victim].communicate()
    # JAX's own guard against the loss of process 0 may be the faster one; it aborts.
    assert status == 2 or (victim == 0 and status == -signal.SIGABRT)
    sentence = "lost the connection to another process of this run"
    assert sentence in output or (victim == 0 and "another task died" in output)
    assert "Traceback" not in output
    # One process alone goes on from what the two have saved.
    finish(workdir, 1)
    assert_same(workdir, single)


@pytest.mark.slow
def test_ctrl_c_stops_all(single, tmp_path):
    workdir = tmp_path / "run"
    processes = start(workdir, 3)
    wait_for_training(workdir, processes, lines=5)
    processes[2].send_signal(signal.SIGINT)
    ends = wait(processes, seconds=90)
    assert [status for status, _ in ends] == [0, 0, 130], ends
    finish(workdir, 2)
    assert_same(workdir, single)


@pytest.mark.slow
def test_two_processes_train_on_a_folder(tmp_path, monkeypatch):
    """Both decode the same folder into a cache that is not there yet, and see the same images."""
    pictures = draw_pictures(tmp_path / "pictures", 8)
    program = f"jaxnets train folder:{pictures} --model mlp --image-size 16 --epochs 3"
    program += " --batch-size 8 --validation 0.2 --balance sampler"
    for count in (1, 2):
        monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / f"cache{count}"))
        finish(tmp_path / f"run{count}", count, program=program)
    steps = read_json(tmp_path / "run1" / "summary.json")["steps"]
    assert_same(tmp_path / "run2", final_arrays(tmp_path / "run1", steps), steps)
    summaries = [read_json(tmp_path / f"run{count}" / "summary.json") for count in (1, 2)]
    assert summaries[0]["test_accuracy"] == summaries[1]["test_accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["head", "gradual"])
def test_two_processes_fine_tune(way, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    pictures = draw_pictures(tmp_path / "pictures", 5)
    random = np.random.default_rng(0)

    def weights(path, leaf):
        if leaf.ndim > 1:  # He's, so that features neither vanish nor explode
            deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return (deviation * random.standard_normal(leaf.shape)).astype("f")
        return np.full(leaf.shape, path[-1].key in ("scale", "var"), "f")

    shapes = abstract_variables(create_model("resnet20"), (32, 32, 3))
    variables = jax.tree_util.tree_map_with_path(weights, dict(shapes))
    save("resnet20", variables, tmp_path / "weights.safetensors")
    program = f"jaxnets train folder:{pictures} --model resnet20 --image-size 32 --batch-size 10"
    program += f" --weights {tmp_path / 'weights.safetensors'} --fine-tune {way} --epochs 3"
    program += " --learning-rate 0.001"
    for count in (1, 2):
        finish(tmp_path / f"run{count}", count, seconds=900, program=program)
    steps = read_json(tmp_path / "run1" / "summary.json")["steps"]
    # Gradients of twenty layers carry the rounding on, up to 2e-4 of the largest momentum of 0.1:
    # where all layers move, the network is compared, and what the rate of 0.001 makes of it.
    moved = ("params", "model_state") if way == "gradual" else ("",)
    assert_same(tmp_path / "run2", final_arrays(tmp_path / "run1", steps), steps, moved)


def test_numbers_that_do_not_fit():
    for processes, message in (
        (Processes(coordinator="localhost:1"), "go together"),
        (Processes(False, "localhost:1", 2, 2), "processes are numbered 0 … 1"),
        (Processes(False, "localhost", 2, 1), "expected HOST:PORT"),
    ):
        with pytest.raises(JaxnetsError, match=message):
            join(processes)


def test_a_coordinator_that_cannot_be_reached_is_said(monkeypatch, capsys):
    from jaxnets.train import processes as module

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr(module, "_NOTICE_SECONDS", 0.3)
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 1.0)
    with pytest.raises(JaxnetsError, match=r"could not be reached in 1 s .*Start process 0 there"):
        join(Processes(False, f"localhost:{port}", 2, 1))
    assert f"waiting for process 0 at localhost:{port}" in capsys.readouterr().err
