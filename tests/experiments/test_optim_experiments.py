"""The experiments on first-order optimizers run, and find what they must."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments import optimizer_shootout
from experiments.optimization import landscapes
from experiments.shootout import claims
from experiments.shootout.runs import Curves
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
    summary, workdir, *_ = smoke_run("experiments.asynchronous_sgd")
    assert (workdir / "staleness.png").stat().st_size > 10_000
    assert summary["stability_largest_error"] < 0.01
    # The limit is at least the rule of thumb 1/(1 + τ), and less than twice of it.
    assert all(1 <= share <= 2 for share in summary["stability_limit_times_1_plus_tau"])
    assert summary["threads"]["replay_is_bit_equal"]
    assert summary["threads"]["max_staleness"] <= 2


def test_shootout(smoke_run):
    results, workdir, output, _ = smoke_run("experiments.optimizer_shootout")
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


class TestClaims:
    RATES = (1e-4, 1e-3, 1e-2, 1e-1)

    @staticmethod
    def curves(accuracy, loss=None):
        """Three keys that differ by a thousandth, two measurements."""
        accuracy = np.asarray(accuracy)[:, None] + np.array([-1e-3, 0, 1e-3])
        table = np.stack([np.zeros_like(accuracy), accuracy], -1)
        losses = np.stack([np.ones_like(accuracy), 1 - accuracy], -1)
        if loss is not None:
            losses[..., -1] = np.asarray(loss)[:, None]
        return Curves(losses, table, table)

    def judged(self, adam, momentum, lbfgs_loss=0.5, passes=1):
        found = {
            "adam": self.curves(adam),
            "momentum": self.curves(momentum),
            "momentum_cosine": self.curves(momentum),
        }
        one = np.full((3, 1), lbfgs_loss)
        return claims.judge(found, (Curves(one, one, one), np.full((3, 1), passes)), self.RATES)

    def test_verdicts_turn_with_the_numbers(self):
        good = self.judged([0.5, 0.90, 0.91, 0.89], [0.1, 0.2, 0.95, 0.3], lbfgs_loss=0.01)
        assert good["adam_default_within_2_points"]["verdict"] == "holds"
        assert good["momentum_against_default_adam"]["verdict"] == "holds"
        assert good["momentum_against_default_adam"]["difference"] == pytest.approx(0.05)
        assert good["momentum_needs_more_tuning"]["verdict"] == "holds"
        assert good["lbfgs_lower_per_pass"]["verdict"] == "holds"
        bad = self.judged([0.5, 0.8, 0.9, 0.5], [0.84, 0.85, 0.85, 0.84], lbfgs_loss=0.9)
        assert bad["adam_default_within_2_points"]["verdict"] == "fails"
        assert bad["momentum_against_tuned_adam"]["verdict"] == "fails"
        assert bad["momentum_needs_more_tuning"]["verdict"] == "fails"
        assert bad["lbfgs_lower_per_pass"]["verdict"] == "fails"

    def test_as_many_rates_are_as_many_decades(self):
        """The widths of equal shares of the grid must not differ in a last bit."""
        rates = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
        low = claims.summarize(self.curves([0.1, 0.5, 0.5, 0.1, 0.1, 0.1]), rates)
        high = claims.summarize(self.curves([0.1, 0.1, 0.5, 0.5, 0.1, 0.1]), rates)
        assert low["decades_within_2_points"] == high["decades_within_2_points"] == 1.0

    def test_no_verdict_within_the_noise(self):
        """A difference between keys of opposite signs decides nothing."""
        found = {m: self.curves([0.8, 0.9, 0.9, 0.8]) for m in ("adam", "momentum")}
        test = found["momentum"].test_accuracy.copy()
        test[2, :, -1] = [0.88, 0.93, 0.9]
        found["momentum"] = found["momentum"]._replace(test_accuracy=test)
        found["momentum_cosine"] = found["momentum"]
        one = np.full((3, 1), 0.5)
        judged = claims.judge(found, (Curves(one, one, one), np.ones((3, 1))), self.RATES)
        assert judged["momentum_against_default_adam"]["verdict"] == "undecided"

    def test_a_run_that_left_the_numbers_is_never_chosen(self):
        curves = self.curves([0.5, 0.99, 0.6, 0.5], loss=[1, np.nan, 1, 1])
        assert claims.choose_rate(curves) == 2

    def test_interval_is_students(self):
        mean, half = claims.interval(np.array([1.0, 2.0, 3.0]))
        # t(0.975, 2) = 4.302653 and s/√3 = 0.577350.
        assert (mean, half) == pytest.approx((2.0, 2.484138), abs=1e-5)
