"""The benchmark's smoke run, its arithmetic, and that its problems are what they say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments import benchmark_lbfgs
from experiments.lbfgs_benchmark import problems, solvers


def test_smoke_run_solves_both_problems_and_writes_its_files(tmp_path):
    config = dataclasses.replace(benchmark_lbfgs.smoke(), workdir=tmp_path)
    summary = benchmark_lbfgs.main(config)
    assert summary["solved"] == {"jaxnets": 2, "scipy": 2}
    assert all(row["runs"]["jaxnets"]["gradient_norm"] <= 1.1e-6 for row in summary["runs"])
    assert {"config.json", "summary.json", "table.md"} <= {f.name for f in tmp_path.iterdir()}


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
    assert benchmark_lbfgs.fastest_peer(row) == ("jaxopt", 3.0)
    summary = benchmark_lbfgs.summarise([row], benchmark_lbfgs.Config())
    assert summary["speed_up"] == {"a": 3.0}
    assert "| — |" in benchmark_lbfgs.as_table([row], summary["solvers"])
