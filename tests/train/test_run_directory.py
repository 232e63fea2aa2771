"""A run's directory: settings, lock, restart; and its log of metrics."""

import json
import os
import subprocess
import sys

import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.train import MetricsLog, RunDirectory, read_metrics
from jaxnets.train.run_directory import read_json, write_json

SETTINGS = {"model": "mlp", "learning_rate": 0.1}


def test_same_settings_go_on(tmp_path):
    for _ in range(2):
        with RunDirectory(tmp_path / "run", SETTINGS) as directory:
            assert directory.changes == [] and directory.summary is None
    assert read_json(tmp_path / "run" / "config.json") == SETTINGS


def test_changed_settings_are_named_and_refused(tmp_path):
    RunDirectory(tmp_path, SETTINGS).close()
    with pytest.raises(JaxnetsError, match=r"learning_rate: the run has 0.1, asked for 0.2"):
        RunDirectory(tmp_path, {**SETTINGS, "learning_rate": 0.2})
    assert read_json(tmp_path / "config.json") == SETTINGS
    # The refusal released the lock.
    RunDirectory(tmp_path, SETTINGS).close()


def test_changes_on_request_unfinish_the_run(tmp_path):
    RunDirectory(tmp_path, SETTINGS).close()
    write_json(tmp_path / "summary.json", {"test_accuracy": 1.0})
    new = {**SETTINGS, "learning_rate": 0.2}
    with RunDirectory(tmp_path, new, accept_changes=True) as directory:
        assert directory.changes == ["learning_rate: the run has 0.1, asked for 0.2"]
        assert directory.summary is None
    assert read_json(tmp_path / "config.json") == new


def test_runs_that_began_before_a_setting_existed_go_on(tmp_path):
    RunDirectory(tmp_path, SETTINGS).close()
    now = {**SETTINGS, "loss": "cross_entropy", "drop_path": None}
    before = {"loss": "cross_entropy", "learning_rate": 0.9, "unknown": 1}
    with RunDirectory(tmp_path, now, defaults=before) as directory:
        assert directory.changes == []
    # Another value than the old one is a change, and a setting that the run has counts.
    with pytest.raises(JaxnetsError, match="loss: the run has 'cross_entropy', asked for 'map'"):
        RunDirectory(tmp_path, {**now, "loss": "map"}, defaults=before)
    with pytest.raises(JaxnetsError, match="the run has None, asked for 'cross_entropy'"):
        RunDirectory(tmp_path, now)


def test_restart_moves_the_old_run_aside(tmp_path):
    run = tmp_path / "run"
    for expected in (None, run.with_name("run.old-1"), run.with_name("run.old-2")):
        with RunDirectory(run, SETTINGS, restart=True) as directory:
            assert directory.moved_to == expected
            (run / "precious").write_text("kept")
    assert (tmp_path / "run.old-1" / "precious").read_text() == "kept"


def test_one_process_at_a_time(tmp_path):
    holder = (
        "import sys, time; from jaxnets.train.run_directory import RunDirectory;"
        f"d = RunDirectory({str(tmp_path)!r}, {{}}); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline().strip() == "held"
            with pytest.raises(JaxnetsError, match="another process is training"):
                RunDirectory(tmp_path, {})
        finally:
            process.kill()
    # A killed process holds nothing.
    RunDirectory(tmp_path, {}).close()


@pytest.mark.skipif(os.name == "nt", reason="/proc is Linux")
def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JaxnetsError, match=r"cannot be written .*--workdir"):
        RunDirectory(tmp_path / "file" / "run", {})


def test_config_that_is_not_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(JaxnetsError, match="cannot be read as JSON"):
        RunDirectory(tmp_path, SETTINGS)


def test_metrics_continue_after_the_checkpoint(tmp_path):
    with MetricsLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.write({"step": step, "kind": "train", "loss": 1 / step})
    # Killed in the middle of a line, with step 3 after the last checkpoint.
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "ki')
    assert [r["step"] for r in read_metrics(tmp_path)] == [1, 2, 3]
    with MetricsLog(tmp_path, after_step=2) as log:
        log.write({"step": 3, "kind": "train", "loss": 0.25})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [1.0, 0.5, 0.25]


def test_damaged_records_are_passed_over_and_the_others_kept(tmp_path):
    whole = [json.dumps({"step": step, "kind": "train", "loss": 0.5}) for step in (1, 2, 3)]
    damage = ["{", "3", "[]", '{"step": 2}', '{"step": "x", "kind": "train"}', "[" * 100_000]
    lines = "\n".join([whole[0], *damage, whole[1], whole[2]]).encode()
    (tmp_path / "metrics.jsonl").write_bytes(b"\xff\xfe\x00\n" + lines + b'\n{"step": 4, "ki')
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2, 3]
    with MetricsLog(tmp_path, after_step=2) as log:
        log.write({"step": 3, "kind": "train", "loss": 0.25})
    assert (tmp_path / "metrics.jsonl").read_text().splitlines()[:2] == whole[:2]


@pytest.mark.parametrize("content", ["", "[]", "3", "{", "\x00", "[" * 100_000])
def test_a_damaged_config_says_what_can_be_done(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(
        JaxnetsError, match=r"config\.json cannot be read.*--accept-changes.*--restart"
    ):
        RunDirectory(tmp_path, SETTINGS)
    with RunDirectory(tmp_path, SETTINGS, accept_changes=True):
        assert read_json(tmp_path / "config.json") == SETTINGS
