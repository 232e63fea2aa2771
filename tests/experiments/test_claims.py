"""The claims: intervals, verdicts, training over keys, resuming, errors, the page, each claim."""

import dataclasses
import importlib
import inspect
import json
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from experiments.claims import __main__ as command_line
from experiments.claims.framework import (
    Claim,
    Data,
    Outcome,
    Part,
    Settings,
    above,
    at_least,
    at_most,
    below,
    effect,
    figures,
    make_keys,
    runner,
    statistics,
    steps_to,
    train_many,
    within,
)
from experiments.claims.framework.page import number, to_html, write_page
from experiments.claims.framework.training import best, has_convolutions, orders
from jaxnets import optim, train
from jaxnets.errors import UnknownNameError
from jaxnets.models import create_model
from jaxnets.models.mlp import MLP
from jaxnets.tasks import classification

CLAIMS = runner.find_claims()


class TestVerdicts:
    @pytest.mark.parametrize(
        ("region", "low", "high", "verdict"),
        [
            (above(0), 0.1, 0.2, "holds"),
            (above(0), -0.2, -0.1, "fails"),
            (above(0), -0.1, 0.1, "depends"),
            # Borders: "more than 0" excludes 0, "at least 0" includes it.
            (above(0), 0.0, 0.1, "depends"),
            (above(0), -0.1, 0.0, "fails"),
            (above(0), 0.0, 0.0, "fails"),
            (at_least(0), 0.0, 0.1, "holds"),
            (at_least(0), -0.1, 0.0, "depends"),
            (at_least(0), 0.0, 0.0, "holds"),
            (below(1), 0.5, 0.9, "holds"),
            (below(1), 0.5, 1.0, "depends"),
            (below(1), 1.0, 1.5, "fails"),
            (at_most(1), 0.5, 1.0, "holds"),
            (at_most(1), 1.1, 1.5, "fails"),
            (within(0.9, 1.1), 0.9, 1.1, "holds"),
            (within(0.9, 1.1), 0.8, 1.0, "depends"),
            (within(0.9, 1.1), 0.5, 1.5, "depends"),
            (within(0.9, 1.1), 1.2, 1.5, "fails"),
            (within(0.9, 1.1), 0.1, 0.8, "fails"),
        ],
    )
    def test_of_an_interval(self, region, low, high, verdict):
        assert region.judge(low, high) == verdict

    def test_of_several_effects(self):
        holds = effect("a", 1.0, above(0), method="exact")
        fails = effect("b", -1.0, above(0), method="exact")
        open_ = effect("c", [-1.0, 1.2], above(0))
        only = effect("d", [-1.0, 1.2])
        assert statistics.combine([holds, only])[0] == "holds"
        assert statistics.combine([holds, holds])[0] == "holds"
        assert statistics.combine([fails, fails])[0] == "fails"
        verdict, reason = statistics.combine([holds, fails, open_])
        assert verdict == "depends"
        assert "holds for a; fails for b; not decided by these keys for c" in reason
        assert statistics.combine([holds, open_])[0] == "depends"
        with pytest.raises(ValueError, match="claimed region"):
            statistics.combine([only])

    def test_a_claim_that_straddles_says_that_the_keys_do_not_decide(self):
        verdict, reason = statistics.combine([effect("a", [-1.0, 1.2], above(0))])
        assert verdict == "depends" and "do not decide" in reason


class TestIntervals:
    x = np.array([1.2, 0.7, 3.1, 2.2, 1.9])

    def test_t_is_scipys(self):
        e = effect("", self.x)
        low, high = stats.t.interval(
            0.95, len(self.x) - 1, loc=self.x.mean(), scale=stats.sem(self.x)
        )
        np.testing.assert_allclose((e.estimate, e.low, e.high), (self.x.mean(), low, high))

    def test_log_is_t_of_the_logarithms(self):
        e, inner = effect("", self.x, method="log"), effect("", np.log(self.x))
        expected = np.exp((inner.estimate, inner.low, inner.high))
        np.testing.assert_allclose((e.estimate, e.low, e.high), expected)
        np.testing.assert_allclose(e.estimate, stats.gmean(self.x))

    def test_share_is_clopper_pearson(self):
        # Ten of ten: the lower end is 0.025^(1/10).
        e = effect("", np.ones(10), method="share")
        np.testing.assert_allclose((e.estimate, e.low, e.high), (1, 0.025**0.1, 1))

    def test_bootstrap_of_the_median(self):
        x = np.random.default_rng(0).normal(3, 1, 200)
        e = effect("", x, method="bootstrap")
        assert e.estimate == np.median(x)
        # The median of 200 normal values has a deviation of √(π/2)/√200 = 0.089.
        assert 0.2 < e.high - e.low < 0.5 and e.low < e.estimate < e.high

    def test_the_interval_covers_the_truth_in_95_percent(self):
        rng = np.random.default_rng(1)
        found = [effect("", rng.normal(2, 1, 6)) for _ in range(2000)]
        covered = np.mean([e.low < 2 < e.high for e in found])
        assert abs(covered - 0.95) < 0.02  # 4 standard errors

    @pytest.mark.parametrize(
        ("values", "method", "message"),
        [
            ([1.0, np.nan], "t", "finite"),
            ([1.0], "t", "at least 2"),
            ([1.0, 2.0], "exact", "one number"),
            ([1.0, 0.0], "log", "positive"),
            ([1.0, 0.5], "share", "0 and 1"),
            ([1.0, 0.5], "guess", "expected one of"),
        ],
    )
    def test_refused(self, values, method, message):
        with pytest.raises(ValueError, match=message):
            effect("name", values, method=method)


def _small(images=96, side=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, side, side, 1)).astype(np.float32)
    part = Part(jnp.asarray(x), jnp.asarray(rng.integers(0, 10, images)))
    return Data("small", part, part, 10)


class TestTraining:
    def test_equals_plain_steps(self):
        data, model = _small(), MLP(10, (8,))
        runs = train_many(
            model,
            optim.momentum,
            np.float32([0.01, 0.1]),
            data,
            make_keys(3),
            steps=6,
            batch_size=16,
            evaluations=3,
        )
        assert runs.batch_loss.shape == (2, 3, 6) and runs.test_loss.shape == (2, 3, 4)
        assert runs.steps.tolist() == [0, 2, 4, 6]
        key = jax.random.key(2, impl="rbg")
        task = classification(10)
        example = {"image": data.train.images[:1], "label": data.train.labels[:1]}
        state = train.create_state(model, optim.momentum(0.1), example, key, task=task)
        params = model.init({"params": key}, data.train.images[:2])["params"]
        state = state.replace(params=params)
        losses, step = [], jax.jit(partial(train.train_step, task=task))
        for rows in orders([2], 96, 6, 16)[0]:
            batch = {"image": data.train.images[rows], "label": data.train.labels[rows]}
            state, metrics = step(state, batch)
            losses.append(metrics["loss"])
        np.testing.assert_allclose(runs.batch_loss[1, 2], losses, rtol=1e-4)
        found = jax.tree.map(lambda v: v[1, 2], runs.variables["params"])
        for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(state.params), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)

    def test_the_loop_equals_the_vmap(self):
        options = {"steps": 4, "evaluations": 2, "batch_size": 16, "probe": _step_of}
        args = MLP(10, (8,)), optim.adam, np.float32([0.01, 0.1]), _small(), make_keys(2)
        one, other = (train_many(*args, **options, loop=loop) for loop in (True, False))
        for name in ("batch_loss", "train_loss", "test_accuracy", "probe"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-4, err_msg=name
            )
        assert one.probe[0, 0].tolist() == [0, 2, 4]

    def test_start_changes_the_first_weights(self):
        options = {"steps": 1, "evaluations": 1, "batch_size": 16, "start": _times}
        runs = train_many(MLP(10, ()), _still, np.float32([0, 1]), _small(), [5], **options)
        np.testing.assert_allclose(runs.test_loss[0], np.log(10), rtol=1e-6)
        assert (runs.test_loss[1] > np.log(10)).all()

    def test_a_scalar_value_has_no_axis(self):
        runs = train_many(MLP(10, ()), optim.sgd, 0.1, _small(), [0, 1], steps=2, evaluations=1)
        assert runs.accuracy.shape == (2,)

    def test_refused(self):
        with pytest.raises(ValueError, match="multiple of evaluations"):
            train_many(MLP(10, ()), optim.sgd, 0.1, _small(), [0], steps=5, evaluations=2)
        with pytest.raises(ValueError, match="batch_size"):
            orders([0], 10, 5, 11)

    def test_orders_are_shuffled_passes_by_key_alone(self):
        one, two = orders([3, 4], 10, 7, 5)
        assert sorted(one[:2].ravel()) == sorted(two[2:4].ravel()) == list(range(10))
        assert (one != two).any()
        np.testing.assert_array_equal(orders([4], 10, 7, 5)[0], two)

    def test_steps_to(self):
        curves = np.array([[4.0, 2.0, 1.0], [np.inf, 1.0, 0.5], [9.0, 9.0, np.nan], [0.1, 9, 9]])
        found = steps_to(np.array([0, 10, 20]), curves, 1.5)
        assert found.tolist() == [15.0, 10.0, 40.0, 0.0]

    def test_best_and_convolutions(self):
        assert best(np.array([[np.nan, 0.1], [2.0, 2.0], [1.0, np.inf]])) == 1
        assert has_convolutions(create_model("lenet5", num_classes=10), (32, 32, 3))
        assert not has_convolutions(MLP(10, (4,)), (8, 8, 1))


def _step_of(state, data):
    return state.step.astype(jnp.float32)


def _times(params, value):
    return jax.tree.map(lambda p: p * value, params)


def _still(value):
    del value
    return optax.sgd(0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fake(Settings):
    value: float = 1.0


calls = []


def _measure(settings: Fake) -> Outcome:
    calls.append(settings.value)
    if settings.value < 0:
        raise RuntimeError("no <such> thing")
    values = settings.value + np.array([-0.1, 0.0, 0.1])
    figure, (ax,) = figures.new()
    figures.dots(ax, ["one"], [values])
    figures.band(ax, np.arange(2), np.ones((3, 2)), "line", figures.COLORS[0])
    return Outcome([effect("gain | more", values, above(0), unit="points")], figure, ["A <b>."])


def _claim(value, **changes):
    settings = Fake(value=value)
    base = Claim(
        sentence="More is <better>",
        notes="L1",
        row="A01",
        experiment="None.",
        measure=_measure,
        full=settings,
        quick=settings,
        tiny=settings,
    )
    return dataclasses.replace(base, **changes)


class TestRunner:
    def test_finished_claims_are_kept_and_changed_ones_repeated(self, tmp_path):
        calls.clear()
        claims = {"one": _claim(1.0), "two": _claim(2.0)}
        first = runner.run_claims(claims, tmp_path)
        again = runner.run_claims(claims, tmp_path)
        assert calls == [1.0, 2.0] and again == first
        runner.run_claims({"one": _claim(3.0), "two": _claim(2.0)}, tmp_path)
        assert calls == [1.0, 2.0, 3.0]

    def test_a_killed_run_goes_on(self, tmp_path):
        calls.clear()

        def interrupted(settings):
            raise KeyboardInterrupt

        claims = {"one": _claim(1.0), "two": _claim(2.0, measure=interrupted)}
        with pytest.raises(KeyboardInterrupt):
            runner.run_claims(claims, tmp_path)
        records = runner.run_claims({"one": _claim(1.0), "two": _claim(2.0)}, tmp_path)
        assert calls == [1.0, 2.0] and list(records) == ["one", "two"]

    def test_a_result_cut_short_is_measured_again(self, tmp_path):
        runner.run_claims({"one": _claim(1.0)}, tmp_path)
        path = tmp_path / "results" / "one.json"
        path.write_text(path.read_text()[:40])
        assert runner.run_claims({"one": _claim(1.0)}, tmp_path)["one"]["verdict"] == "holds"

    def test_an_error_is_a_record_the_others_go_on_and_it_is_tried_again(self, tmp_path):
        calls.clear()
        claims = {"bad": _claim(-1.0), "good": _claim(1.0)}
        records = runner.run_claims(claims, tmp_path)
        assert records["bad"]["error"] == "RuntimeError: no <such> thing"
        assert "Traceback" in records["bad"]["traceback"]
        assert records["good"]["verdict"] == "holds"
        runner.run_claims(claims, tmp_path)
        assert calls == [-1.0, 1.0, -1.0]

    def test_an_unknown_name_offers_the_nearest(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'relu_is_fast'"):
            runner.choose(CLAIMS, ["relu_is_fat"])

    def test_a_dataset_that_is_not_there_becomes_digits(self, tmp_path):
        claim = _claim(1.0, full=Fake(dataset="cifar10"))
        assert runner.settings_of(claim, "full", tmp_path).dataset == "digits"


class TestPage:
    def test_html_needs_nothing_beside_itself_and_escapes(self, tmp_path):
        records = runner.run_claims({"bad": _claim(-1.0), "good": _claim(1.0)}, tmp_path)
        page = to_html(records, "full", "a machine")
        for attribute in re.findall(r'(?:src|href)="([^"]*)"', page):
            assert attribute.startswith(("data:image/png;base64,", "#")), attribute[:60]
        assert "<link" not in page and "<script" not in page and "url(" not in page
        assert "More is &lt;better&gt;" in page and "<better>" not in page
        assert "no &lt;such&gt; thing" in page and "A &lt;b&gt;." in page
        assert page.count("<section") == page.count("</section>") == 2
        assert '<span class="v error">' in page and '<span class="v holds">' in page
        assert "1 points" in page and "[0.752, 1.25]" in page

    def test_markdown_has_the_table_and_the_figures(self, tmp_path):
        records = runner.run_claims({"good": _claim(1.0)}, tmp_path)
        markdown, html = write_page(records, tmp_path, mode="quick", machine="a machine")
        text = markdown.read_text()
        assert "| [More is <better>](#good) | 1 points | [0.752, 1.25] | **holds** |" in text
        assert "gain \\| more" in text and "A quick run" in text
        assert (tmp_path / "figures" / "good.png").read_bytes().startswith(b"\x89PNG")
        assert html.stat().st_size > 5000

    def test_numbers(self):
        assert [number(x) for x in (0.0, 0.5, 123.4, 1234.5, 0.00001)] == [
            "0",
            "0.5",
            "123",
            "1,234",
            "1e-05",
        ]


class TestCommand:
    def test_status_and_summary(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(command_line, "find_claims", lambda: {"good": _claim(1.0)})
        config = command_line.Config(quick=True, workdir=tmp_path / "run")
        summary = command_line.main(config)
        assert summary["good"]["verdict"] == "holds"
        assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
        assert {p.name for p in (tmp_path / "run").glob("claims.*")} == {"claims.md", "claims.html"}
        assert "holds" in capsys.readouterr().out

    def test_list_runs_nothing(self, capsys, tmp_path):
        command_line.main(command_line.Config(list=True, workdir=tmp_path / "run"))
        shown = capsys.readouterr().out
        assert all(name in shown for name in CLAIMS) and not (tmp_path / "run").exists()


def test_every_claim_names_its_source():
    assert len(CLAIMS) >= 25
    for name, claim in CLAIMS.items():
        assert claim.sentence and not claim.sentence.endswith("."), name
        assert re.search(r"[LA-Z]\d+", claim.notes + claim.row), name
        assert claim.full.keys >= 3, name
        json.dumps(runner._plain(claim.full))


@pytest.mark.parametrize("name", CLAIMS)
def test_every_setting_that_is_read_exists(name):
    """Cheap, beside running them: a field that was renamed in a shared class is found at once."""
    claim = CLAIMS[name]
    module = importlib.import_module(f"experiments.claims.{name}")
    source = inspect.getsource(module)
    for mode in (claim.full, claim.quick, claim.tiny):
        missing = [n for n in re.findall(r"\bsettings\.(\w+)", source) if not hasattr(mode, n)]
        assert not missing, f"{name}: {type(mode).__name__} has no {missing}"


# A handful that stands for the ways of measuring; the others are run with --slow.
PLAIN = ("sgd_oscillates", "adam_needs_no_tuning", "small_kernels")


@pytest.mark.parametrize(
    "name", [n if n in PLAIN else pytest.param(n, marks=pytest.mark.slow) for n in CLAIMS]
)
def test_tiny(name, tmp_path):
    record = runner.run_claims({name: CLAIMS[name]}, tmp_path, mode="tiny")[name]
    assert "error" not in record, record.get("traceback")
    assert record["verdict"] in ("holds", "fails", "depends")
    assert all(np.isfinite([e["low"], e["estimate"], e["high"]]).all() for e in record["effects"])
    assert len(record["figure"]) > 5000
