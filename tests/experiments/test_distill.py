"""The comparison of distillation's methods: what it trains, that it goes on, its bad input."""

import json
from dataclasses import replace

import pytest

from experiments.distillation import distill
from jaxnets.errors import JaxnetsError
from jaxnets.tasks import distillation_report


@pytest.mark.slow
def test_methods_are_compared_key_by_key_and_trained_once(smoke_run):
    run = smoke_run("experiments.distillation.distill")
    rows = run.results["rows"]
    assert set(rows) == {"plain", "kd", "fitnet", "tolerant 0", "tolerant 1"}
    folders = {path.parent for path in run.workdir.rglob("summary.json")} - {run.workdir}
    found = {str(path.relative_to(run.workdir / "key1")) for path in folders if "key1" in str(path)}
    assert found == {
        *("kd", "strict/generation0", "tolerant/generation0", "tolerant/generation1"),
        *("fitnet/stage1", "fitnet/stage2"),
    }
    accuracies = [
        [json.loads((run.workdir / f"key{key}" / folder / "summary.json").read_text())]
        for folder in ("kd", "strict/generation0")
        for key in (0, 1)
    ]
    kd, plain = (
        [entry["test_accuracy"] for (entry,) in part] for part in (accuracies[:2], accuracies[2:])
    )
    gain = sum(a - b for a, b in zip(kd, plain, strict=True)) / 2
    assert rows["kd"]["over_plain"]["mean"] == pytest.approx(gain)
    assert (run.workdir / "distillation.png").stat().st_size > 5_000
    # Once more, with more to do: what is finished is read, the rest is trained.
    written = {path: path.stat().st_mtime_ns for path in run.workdir.rglob("metrics.jsonl")}
    config = replace(distill.smoke(), workdir=run.workdir, methods=("kd", "attention"))
    again = distill.main(config)["rows"]
    assert again["kd"] == rows["kd"] and again["plain"] == rows["plain"] and "attention" in again
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": 0}, "--keys must be at least 1, got 0"),
        ({"methods": ("kd", "fitnets")}, "unknown method 'fitnets'. Did you mean 'fitnet'"),
        ({"temperature": 0.0}, "--temperature must be above 0, got 0.0"),
        ({"eta": 1.5}, "--eta must lie in"),
        ({"generations": -1}, "--generations must be 0 or more"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(changes, message, tmp_path):
    with pytest.raises(JaxnetsError, match=message):
        distill.main(replace(distill.smoke(), workdir=tmp_path, **changes))
    assert not any(tmp_path.iterdir())


def test_the_claim_is_judged_by_the_interval_of_paired_differences():
    """Means 1 and 3 points apart from 1 with the same spread: holds or does not."""
    plain = [0.50, 0.52, 0.51, 0.49, 0.50]
    clear = distillation_report.summarize({"plain": plain, "kd": [p + 0.03 for p in plain]})
    assert clear["claim"] == "holds" and clear["keys"] == 5
    noisy = [p + d for p, d in zip(plain, (0.04, -0.01, 0.03, 0.01, 0.0), strict=True)]
    assert distillation_report.summarize({"plain": plain, "kd": noisy})["claim"] == "undecided"
    # A row that has not all keys yet is compared on those that it has.
    part = distillation_report.summarize({"plain": plain, "kd": [0.6]})["rows"]["kd"]
    assert part["over_plain"]["mean"] == pytest.approx(0.1) and part["over_plain"]["n"] == 1
