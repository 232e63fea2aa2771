"""The claims of all chapters: their sources, their settings, the command, and each claim run."""

import inspect
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.claims import CHAPTERS, find_claims
from experiments.claims import __main__ as command_line
from jaxnets.study import runner
from jaxnets.study.claims import Claim, Outcome, Settings
from jaxnets.study.effects import above, effect
from jaxnets.study.figures import new_figure

CLAIMS = find_claims()
MEASURES = "experiments.claims.measures."


def _measure(settings: Settings) -> Outcome:
    values = np.array([0.9, 1.0, 1.1])
    return Outcome([effect("gain", values, above(0), unit="points")], new_figure()[0])


def _claim() -> Claim:
    settings = Settings()
    return Claim(
        name="good",
        sentence="More is better",
        source="A paper (2020)",
        experiment="None.",
        measure=_measure,
        full=settings,
        quick=settings,
        tiny=settings,
    )


class TestCommand:
    def test_status_and_summary(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(command_line, "find_claims", lambda: {"good": _claim()})
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
    assert len(CLAIMS) == 52
    for name, claim in CLAIMS.items():
        assert claim.name == name and claim.measure.__module__.startswith(MEASURES), name
        assert claim.sentence and not claim.sentence.endswith("."), name
        assert re.search(r"\((19|20)\d\d\)|the course on", claim.source), name
        assert claim.full.keys >= 3, name
        json.dumps(runner._plain(claim.full))


def test_every_chapter_has_claims():
    for chapter in CHAPTERS:
        module = __import__(f"experiments.claims.{chapter}", fromlist=["CLAIMS"])
        assert module.__doc__ and len(module.CLAIMS) >= 2


def _settings_read(function, seen: set) -> set[str]:
    """Names read from ``settings`` by a function of `measures` and by those that it calls."""
    if function in seen:
        return set()
    seen.add(function)
    found = set(re.findall(r"\bsettings\.(\w+)", inspect.getsource(function)))
    code = [function.__code__]
    while code:
        one = code.pop()
        code += [c for c in one.co_consts if inspect.iscode(c)]
        for called in map(function.__globals__.get, one.co_names):
            if inspect.isfunction(called) and called.__module__.startswith(MEASURES):
                found |= _settings_read(called, seen)
    return found


@pytest.mark.parametrize("name", CLAIMS)
def test_every_setting_that_is_read_exists(name):
    """Cheap, beside running them: a field that was renamed in a shared class is found at once."""
    claim = CLAIMS[name]
    read = _settings_read(claim.measure, set())
    assert "data" in read or "keys" in read or "runs" in read
    for mode in (claim.full, claim.quick, claim.tiny):
        missing = [n for n in read if not hasattr(mode, n)]
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


def test_the_page_takes_less_than_two_hours(capsys, tmp_path):
    """Claims say what they may take; what is measured counts instead."""
    config = command_line.Config(time=True, workdir=tmp_path / "run")
    costs = command_line.main(config)
    assert costs.keys() == CLAIMS.keys() and not (tmp_path / "run").exists()
    assert not any(cost["measured"] for cost in costs.values())
    total = sum(cost["minutes"] for cost in costs.values())
    assert 0 < total <= 120
    assert f"{len(CLAIMS)} claims: {total:.0f} minutes" in capsys.readouterr().out


def test_what_was_measured_says_its_own_time(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command_line, "find_claims", lambda: {"good": _claim()})
    run, asked = (command_line.Config(workdir=tmp_path, time=ask) for ask in (False, True))
    assert command_line.main(asked)["good"] == {"minutes": 1.0, "measured": False}
    seconds = command_line.main(run)["good"]["seconds"]
    assert command_line.main(asked)["good"] == {"minutes": seconds / 60, "measured": True}
    assert "at most 0 are left" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    """SIGKILL behind the first result: the second call keeps it and measures the rest."""
    names = ("sgd_oscillates", "momentum_overshoots", "newton_needs_few_steps")
    line = [sys.executable, "-m", "experiments.claims", "--quick", "--workdir", str(tmp_path)]
    line += ["--only", *names]
    first = tmp_path / "results" / f"{names[0]}.json"
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not first.exists() and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    before = first.read_bytes()
    subprocess.run(line, check=True, capture_output=True)
    assert first.read_bytes() == before
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary) == set(names) and not any("error" in one for one in summary.values())
