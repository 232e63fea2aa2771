"""Claims are run once, resumed, and shown on a page; errors do not take the others along."""

import dataclasses
import re

import numpy as np
import pytest

from jaxnets.errors import UnknownNameError
from jaxnets.study import runner
from jaxnets.study.claims import Claim, Outcome, Settings, TrainingSettings, by_name
from jaxnets.study.data import load
from jaxnets.study.effects import above, effect
from jaxnets.study.figures import COLORS, band, dots, new_figure
from jaxnets.study.page import to_html, write_page


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fake(Settings):
    value: float = 1.0


calls = []


def _measure(settings: Fake) -> Outcome:
    calls.append(settings.value)
    if settings.value < 0:
        raise RuntimeError("no <such> thing")
    values = settings.value + np.array([-0.1, 0.0, 0.1])
    figure, (ax,) = new_figure()
    dots(ax, ["one"], [values])
    band(ax, np.arange(2), np.ones((3, 2)), "line", COLORS[0])
    return Outcome([effect("gain | more", values, above(0), unit="points")], figure, ["A <b>."])


def claim(value, **changes):
    settings = Fake(value=value)
    base = Claim(
        name="fake",
        sentence="More is <better>",
        source="A paper (2020)",
        experiment="None.",
        measure=_measure,
        full=settings,
        quick=settings,
        tiny=settings,
    )
    return dataclasses.replace(base, **changes)


def test_finished_claims_are_kept_and_changed_ones_repeated(tmp_path):
    calls.clear()
    claims = {"one": claim(1.0), "two": claim(2.0)}
    first = runner.run_claims(claims, tmp_path)
    again = runner.run_claims(claims, tmp_path)
    assert calls == [1.0, 2.0] and again == first
    runner.run_claims({"one": claim(3.0), "two": claim(2.0)}, tmp_path)
    assert calls == [1.0, 2.0, 3.0]


def test_a_killed_run_goes_on(tmp_path):
    calls.clear()

    def interrupted(settings):
        raise KeyboardInterrupt

    claims = {"one": claim(1.0), "two": claim(2.0, measure=interrupted)}
    with pytest.raises(KeyboardInterrupt):
        runner.run_claims(claims, tmp_path)
    records = runner.run_claims({"one": claim(1.0), "two": claim(2.0)}, tmp_path)
    assert calls == [1.0, 2.0] and list(records) == ["one", "two"]


def test_a_result_cut_short_is_measured_again(tmp_path):
    runner.run_claims({"one": claim(1.0)}, tmp_path)
    path = tmp_path / "results" / "one.json"
    path.write_text(path.read_text()[:40])
    assert runner.run_claims({"one": claim(1.0)}, tmp_path)["one"]["verdict"] == "holds"


def test_an_error_is_a_record_the_others_go_on_and_it_is_tried_again(tmp_path):
    calls.clear()
    claims = {"bad": claim(-1.0), "good": claim(1.0)}
    records = runner.run_claims(claims, tmp_path)
    assert records["bad"]["error"] == "RuntimeError: no <such> thing"
    assert "Traceback" in records["bad"]["traceback"]
    assert records["good"]["verdict"] == "holds"
    runner.run_claims(claims, tmp_path)
    assert calls == [-1.0, 1.0, -1.0]


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'relu_is_fast'"):
        runner.choose({"relu_is_fast": claim(1.0)}, ["relu_is_fat"])


def test_a_dataset_that_is_not_there_becomes_digits(tmp_path):
    settings = Fake(dataset="cifar10")
    found = runner.settings_of(claim(1.0, full=settings), "full", tmp_path)
    assert found.dataset == "digits"


def test_html_needs_nothing_beside_itself_and_escapes(tmp_path):
    records = runner.run_claims({"bad": claim(-1.0), "good": claim(1.0)}, tmp_path)
    page = to_html(records, "full", "a machine")
    for attribute in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert attribute.startswith(("data:image/png;base64,", "#")), attribute[:60]
    assert "<link" not in page and "<script" not in page and "url(" not in page
    assert "More is &lt;better&gt;" in page and "<better>" not in page
    assert "no &lt;such&gt; thing" in page and "A &lt;b&gt;." in page
    assert page.count("<section") == page.count("</section>") == 2
    assert '<span class="v error">' in page and '<span class="v holds">' in page
    assert "1 points" in page and "[0.752, 1.25]" in page


def test_markdown_has_the_table_and_the_figures(tmp_path):
    records = runner.run_claims({"good": claim(1.0)}, tmp_path)
    markdown, html = write_page(records, tmp_path, mode="quick", machine="a machine")
    text = markdown.read_text()
    row = "| [More is <better>](#good) | 1 points | [0.752, 1.25] | > 0 | **holds (quick)** |"
    assert row in text
    assert "gain \\| more" in text and "A quick run" in text
    assert (tmp_path / "figures" / "good.png").read_bytes().startswith(b"\x89PNG")
    assert html.stat().st_size > 5000


def test_names_are_unique():
    with pytest.raises(ValueError, match="two are named 'fake'"):
        by_name([claim(1.0), claim(2.0)])
    assert list(by_name([claim(1.0), claim(2.0, name="other")])) == ["fake", "other"]


def test_an_outcome_claims_something():
    with pytest.raises(ValueError, match="claimed region"):
        Outcome([effect("a", [1.0, 2.0])], new_figure()[0])


def test_a_fingerprint_changes_with_the_settings_and_names_all_modules_behind_a_measure():
    one = claim(1.0)
    first = runner.fingerprint(one, one.full)
    assert first == runner.fingerprint(one, one.full)
    assert first != runner.fingerprint(one, dataclasses.replace(one.full, keys=11))
    found = runner.modules_of("jaxnets.study.page")
    assert found == [f"jaxnets.study.{n}" for n in ("effects", "page", "statistics", "tables")]


def test_training_settings_train():
    from jaxnets import optim
    from jaxnets.models.mlp import MLP

    settings = TrainingSettings(keys=2, train=64, test=32, steps=4, evaluations=2, batch_size=16)
    runs = settings.runs(MLP(10, ()), optim.sgd, np.float32([0.1, 0.2]))
    assert runs.batch_loss.shape == (2, 2, 4) and runs.steps.tolist() == [0, 2, 4]
    other = load("digits", train=32, test=32)
    less = settings.runs(MLP(10, ()), optim.sgd, 0.1, data=other, keys=[5], evaluations=1)
    assert less.test_loss.shape == (1, 2)
