"""The benchmark's smoke run, its arithmetic, and that its problems are what they say."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np

from experiments import benchmark_lbfgs
from experiments.lbfgs_benchmark import problems, report, solvers


def test_smoke_run_solves_both_problems_and_writes_its_files(tmp_path):
    config = dataclasses.replace(benchmark_lbfgs.smoke(), workdir=tmp_path)
    summary = benchmark_lbfgs.main(config)
    assert summary["solved"] == {"jaxnets": 2, "scipy": 2}
    assert all(row["runs"]["jaxnets"]["gradient_norm"] <= 1.1e-6 for row in summary["runs"])
    assert {"config.json", "summary.json", "table.md"} <= {f.name for f in tmp_path.iterdir()}

    # The same command goes on where it was: a stored problem is not run again.
    path = tmp_path / "problems" / "beale_2.json"
    kept = json.loads(path.read_text())
    kept["row"]["runs"]["scipy"]["evaluations"] = 12345
    path.write_text(json.dumps(kept))
    (tmp_path / "problems" / "robust_diabetes_10.json").unlink()
    again = benchmark_lbfgs.main(dataclasses.replace(config, minutes=0.0))
    assert again["problems"] == 1  # the other one is left for the next call
    assert again["runs"][0]["runs"]["scipy"]["evaluations"] == 12345
    other = dataclasses.replace(config, tol=1e-3, names=("beale_2",))
    assert benchmark_lbfgs.main(other)["runs"][0]["runs"]["scipy"]["evaluations"] < 100


def test_every_problem_is_finite_at_its_start_and_there_are_enough_of_each_kind(x64):
    cases = problems.all_cases()
    assert len(cases) >= 25 and len({case.name for case in cases}) == len(cases)
    families = [case.family for case in cases]
    assert {f: families.count(f) for f in set(families)}.keys() == {
        "published", "large", "hard", "data", "network"
    }  # fmt: skip
    for case in cases:
        assert case.start.dtype == np.float64 and case.start.ndim == 1
        shape = jax.eval_shape(case.fun, case.start, *case.args)
        assert shape.shape == () and shape.dtype == jnp.float64


def test_the_fastest_peer_is_among_those_that_solved():
    def run(solved, seconds):
        return solvers.Run(solved, 0.0, 0.0, 10, seconds, 0.0)

    runs = {"jaxnets": run(True, 1.0), "optax": run(False, 0.1), "jaxopt": run(True, 3.0)}
    row = {"case": "a", "family": "data", "size": 1, "memory": 10}
    row["runs"] = {**runs, "scipy": run(True, 0.01)}
    assert report.fastest_peer(row) == ("jaxopt", 3.0)
    summary = report.summarize([row], same_memory=False)
    assert summary["speed_up"] == {"a": 3.0}
    assert "| — |" in report.as_table([row], summary["solvers"])
