"""The problems are what they say, solvers are judged by their gradients, reports count right."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.study.optimization import benchmark_lbfgs_problems as problems
from jaxnets.study.optimization import benchmark_lbfgs_report as report
from jaxnets.study.optimization import benchmark_lbfgs_runs as runs
from jaxnets.study.optimization import benchmark_lbfgs_solvers as solvers


def test_every_problem_is_finite_at_its_start_and_there_are_enough_of_each_kind(x64):
    cases = problems.all_cases()
    assert len(cases) >= 25 and len({case.name for case in cases}) == len(cases)
    assert {case.family for case in cases} == set(problems.FAMILIES)
    for case in cases:
        assert case.start.dtype == np.float64 and case.start.ndim == 1
        shape = jax.eval_shape(case.fun, case.start, *case.args)
        assert shape.shape == () and shape.dtype == jnp.float64


def test_a_solver_is_judged_by_its_end_and_its_calls_are_counted(x64):
    case = problems.Case("bowl", "hard", lambda x: jnp.sum((x - 1) ** 2), np.zeros(3))
    limits = solvers.Limits(tol=1e-6, max_iterations=50, repeats=1, patience_seconds=1.0)
    for name in ("jaxnets", "optax", "scipy"):
        found = runs.run(name, case, None, limits)
        assert found.solved and found.gradient_norm <= 1e-6 and not found.note
        assert 1 < found.evaluations < 20 and found.seconds > 0
        assert (found.compile_seconds > 0) == (name != "scipy")
    early = runs.run("scipy", case, None, limits._replace(max_iterations=0))
    # SciPy takes one step all the same.
    assert not early.solved and 1e-6 < early.gradient_norm < 2


def test_a_solver_that_raises_has_not_solved_the_case(x64, monkeypatch):
    def broken(both, x0, memory, limits):
        raise RuntimeError("no such thing")

    monkeypatch.setitem(solvers.HOST_SOLVERS, "scipy", ("scipy", broken))
    case = problems.Case("bowl", "hard", lambda x: jnp.sum(x**2), np.ones(2))
    found = runs.run("scipy", case, None, solvers.Limits(1e-6, 50, 1, 1.0))
    assert not found.solved and found.note == "RuntimeError: no such thing"


def row(**found):
    return {"case": "a", "family": "data", "size": 1, "memory": 10, "runs": found}


def made(solved, seconds):
    return runs.Run(solved, 0.0, 0.0, 10, seconds, 0.0)


def test_rows_are_kept_for_their_settings_alone(tmp_path):
    path, kept = tmp_path / "problems" / "a.json", row(scipy=made(True, 0.5))
    assert runs.load_row(path, [1e-6]) is None
    runs.save_row(path, kept, [1e-6])
    assert runs.load_row(path, [1e-6]) == kept
    assert runs.load_row(path, [1e-3]) is None


def test_solvers_are_chosen_by_name_and_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(runs, "installed", lambda: ["jaxnets", "optax"])
    assert runs.choose_solvers(["optax", "torch"]) == (["jaxnets", "optax"], ["torch"])
    names, missing = runs.choose_solvers()
    assert names == ["jaxnets", "optax"] and "scipy" in missing


def test_the_fastest_peer_is_among_those_that_solved():
    one = row(
        jaxnets=made(True, 1.0),
        optax=made(False, 0.1),
        jaxopt=made(True, 3.0),
        scipy=made(True, 0.01),
    )
    assert report.fastest_peer(one) == ("jaxopt", 3.0)
    summary = report.summarize([one], same_memory=False)
    assert summary["speed_up"] == {"a": 3.0}
    assert "| — |" in report.as_table([one], summary["solvers"])
