"""The experiments on first-order optimizers run, and find what they must."""

import json
from dataclasses import replace

import pytest

from experiments.optimization import landscapes, optimizer_shootout
from jaxnets.errors import UnknownNameError


def test_landscapes(smoke_run):
    summary, workdir, *_ = smoke_run("experiments.optimization.landscapes")
    written = {p.name for p in workdir.iterdir()}
    assert {"trajectories.png", "distances.png", "behavior.png", "summary.json"} <= written
    assert {"quadratic.gif", "saddle.gif"} <= written
    shown = summary["behavior"]
    # Every curve that has a formula follows it, as far as float32 goes.
    for kind in shown.values():
        for entry in kind.values():
            assert entry.get("off_formula", 0) < 1e-3
    assert shown["oscillation"]["ηλ = 0.5"]["sign_changes"] == 0
    assert shown["oscillation"]["ηλ = 1.95"]["sign_changes"] == 60
    assert shown["oscillation"]["ηλ = 1.95"]["final_size"] < 0.05
    assert shown["oscillation"]["ηλ = 2.02"]["final_size"] > 3
    assert shown["overshoot"]["ρ = 0"]["overshoot"] == 0
    assert shown["overshoot"]["ρ = 0.9"]["overshoot"] > 0.5
    assert shown["vanishing"]["AdaGrad"]["slope"] == pytest.approx(-0.5, abs=1e-2)
    assert shown["vanishing"]["RMSProp"]["slope"] == pytest.approx(0, abs=1e-2)
    # 0.001 · 1.1^t passes 1 at t = 73; momentum is faster.
    assert shown["escape"]["gradient descent"]["steps_to_escape"] == 73
    assert shown["escape"]["momentum 0.9"]["steps_to_escape"] < 40
    assert json.loads((workdir / "summary.json").read_text()) == summary


def test_asynchronous(smoke_run):
    summary, workdir, *_ = smoke_run("experiments.optimization.asynchronous_sgd")
    assert (workdir / "staleness.png").stat().st_size > 10_000
    assert summary["stability_largest_error"] < 0.01
    # The limit is at least the rule of thumb 1/(1 + τ), and less than twice of it.
    assert all(1 <= share <= 2 for share in summary["stability_limit_times_1_plus_tau"])
    assert summary["threads"]["replay_is_bit_equal"]
    assert summary["threads"]["max_staleness"] <= 2


def test_shootout(smoke_run):
    results, workdir, output, _ = smoke_run("experiments.optimization.optimizer_shootout")
    entry = results["softmax"]
    assert (workdir / "shootout.png").stat().st_size > 10_000
    assert set(entry["methods"]) == {"adam", "momentum", "momentum_cosine"}
    assert 0.3 < entry["methods"]["momentum"]["test_accuracy"] <= 1
    assert {c["verdict"] for c in entry["claims"].values()} <= {
        "holds",
        "holds later",
        "fails",
        "undecided",
    }
    assert "L-BFGS, full batch" in output
    json.loads((workdir / "summary.json").read_text())


def test_unknown_names(tmp_path):
    with pytest.raises(UnknownNameError, match="'softmax'"):
        optimizer_shootout.main(
            replace(optimizer_shootout.smoke(), problems=("softmaks",), workdir=tmp_path)
        )
    with pytest.raises(UnknownNameError, match="'beale'"):
        landscapes.main(replace(landscapes.smoke(), surfaces=("beal",), workdir=tmp_path))


def test_cifar10_is_left_out_where_it_is_not_prepared(tmp_path, capsys):
    config = replace(
        optimizer_shootout.smoke(), problems=("cifar10",), data_dir=tmp_path, workdir=tmp_path
    )
    assert optimizer_shootout.main(config) == {}
    assert "left out" in capsys.readouterr().out
