"""Where metrics go besides metrics.jsonl; stand-ins for the libraries that are not installed."""

import sys
from types import SimpleNamespace

import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.train.metrics_log import MetricsLog
from jaxnets.train.trackers import open_trackers

RECORD = {"step": 7, "kind": "train", "loss": 1.5, "note": "text"}


def test_tensorboard(tmp_path):
    with MetricsLog(tmp_path, trackers=open_trackers(["tensorboard"], tmp_path, {})) as log:
        log.write(RECORD)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_library_that_is_missing_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, {"tensorboard": "tensorboardX"}.get(name, name), None)
    with pytest.raises(JaxnetsError, match=rf"--log {name} .*jaxnets\[{name}\]"):
        open_trackers([name], tmp_path, {})


def test_wandb_gets_settings_numbers_and_steps(tmp_path, monkeypatch):
    calls = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((values, step)),
        finish=lambda: calls.append("finished"),
    )

    def init(**options):
        calls.append((options["project"], options["name"], options["config"]))
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with MetricsLog(tmp_path, trackers=open_trackers(["wandb"], tmp_path, {"epochs": 3})) as log:
        log.write(RECORD)
    named = ("jaxnets", tmp_path.name, {"epochs": 3})
    assert calls == [named, ({"train/loss": 1.5}, 7), "finished"]


def test_mlflow_gets_settings_numbers_and_steps(tmp_path, monkeypatch):
    calls = []
    stand_in = SimpleNamespace(
        set_experiment=lambda name: calls.append(name),
        start_run=lambda run_name: calls.append(run_name),
        log_params=lambda params: calls.append(params),
        log_metrics=lambda values, step: calls.append((values, step)),
        end_run=lambda: calls.append("ended"),
    )
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    with MetricsLog(tmp_path, trackers=open_trackers(["mlflow"], tmp_path, {"seed": 0})) as log:
        log.write(RECORD)
    assert calls == ["jaxnets", tmp_path.name, {"seed": "0"}, ({"train/loss": 1.5}, 7), "ended"]


def test_a_tracker_that_refuses_is_explained(tmp_path, monkeypatch):
    def init(**_):
        raise RuntimeError("no API key configured")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with pytest.raises(JaxnetsError, match="--log wandb: RuntimeError: no API key"):
        open_trackers(["wandb"], tmp_path, {})
