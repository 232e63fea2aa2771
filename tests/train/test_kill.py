"""Kill -9 at random moments, saves among them: the end is bit-identical to an undisturbed run's."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Batch statistics, momentum and the randomness of crops are all in what must survive.
ARGUMENTS = (
    "--model resnet20 --train-examples 80 --epochs 10 --batch-size 8 --checkpoint-seconds 0.1 "
    "--evaluate-every 5 --log-every 2 --devices 1 --quiet"
)


def start(workdir: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "experiments.train_classifier", "--workdir", workdir),
            *ARGUMENTS.split(),
            *more,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(workdir: Path, *more: str) -> dict:
    process = start(workdir, *more)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-3000:]
    return json.loads((workdir / "summary.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return finish(workdir), (workdir / "metrics.jsonl").read_text()


def saving(workdir: Path) -> bool:
    return any((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))


def lines(workdir: Path) -> int:
    log = workdir / "metrics.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def kill_somewhere(process: subprocess.Popen, workdir: Path, rng: random.Random) -> str | None:
    """Kill in the middle of a save or after a random number of log lines; None: it had ended."""
    in_a_save = rng.random() < 0.4
    target = lines(workdir) + rng.randint(1, 8)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if in_a_save and saving(workdir):
            # Anywhere in the few milliseconds that a save takes.
            time.sleep(rng.random() * 0.02)
            process.kill()
            process.wait()
            return "save" if saving(workdir) else "after a save"
        if not in_a_save and lines(workdir) >= target:
            time.sleep(rng.random() * 0.05)
            process.kill()
            process.wait()
            return "step"
        time.sleep(0.001)
    assert process.poll() is not None, "the run neither ended nor got anywhere in two minutes"
    return None


def check_kills(undisturbed, workdir: Path, kills: int, seed: int) -> list[str]:
    summary, metrics = undisturbed
    rng = random.Random(seed)
    happened: list[str] = []
    while len(happened) < kills:
        process = start(workdir)
        where = kill_somewhere(process, workdir, rng)
        if where is None:
            assert process.returncode == 0, process.communicate()[0][-3000:]
            # It got through: go on killing in a run of its own.
            workdir = workdir.with_name(workdir.name + "+")
        else:
            happened.append(where)
        process.stdout.close()
    resumed = finish(workdir)
    assert resumed["params_sha256"] == summary["params_sha256"]
    assert resumed["test_accuracy"] == summary["test_accuracy"]
    assert (workdir / "metrics.jsonl").read_text() == metrics
    return happened


def test_killed_runs_end_as_if_nothing_had_happened(undisturbed, tmp_path):
    check_kills(undisturbed, tmp_path / "run", kills=3, seed=int(time.time()))


@pytest.mark.slow
def test_twenty_kills(undisturbed, tmp_path):
    happened = check_kills(undisturbed, tmp_path / "run", kills=20, seed=0)
    assert "save" in happened
    print("\nkilled in:", happened)


def test_sigterm_saves_and_exits_cleanly(undisturbed, tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir, "--checkpoint-seconds", "1e9")
    while lines(workdir) < 10:
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.005)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in output, output[-3000:]
    saved = [int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()]
    assert len(saved) == 1 and saved[0] >= 20
    assert not (workdir / "summary.json").exists()
    assert finish(workdir)["params_sha256"] == undisturbed[0]["params_sha256"]
    # Also the record of the steps among which the run was stopped.
    assert (workdir / "metrics.jsonl").read_text() == undisturbed[1]


def test_ctrl_c_saves_and_says_so(tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir, "--checkpoint-seconds", "1e9", "--no-quiet")
    while lines(workdir) < 5:
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in output
    assert "stopped and saved at step" in output
    assert any((workdir / "checkpoints").iterdir())
