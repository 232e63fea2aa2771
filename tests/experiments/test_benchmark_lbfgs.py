"""The benchmark of L-BFGS: a smoke run, and that an ended run goes on where it was."""

import dataclasses
import json
import shutil

from experiments.optimization import benchmark_lbfgs


def test_smoke_run_solves_both_problems_and_writes_its_files(smoke_run):
    summary, workdir, *_ = smoke_run("experiments.optimization.benchmark_lbfgs")
    assert summary["solved"] == {"jaxnets": 2, "scipy": 2}
    assert all(row["runs"]["jaxnets"]["gradient_norm"] <= 1.1e-6 for row in summary["runs"])
    assert {"config.json", "summary.json", "table.md"} <= {f.name for f in workdir.iterdir()}


def test_the_same_command_goes_on_where_it_was(smoke_run, tmp_path):
    done = smoke_run("experiments.optimization.benchmark_lbfgs").workdir
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    config = dataclasses.replace(benchmark_lbfgs.smoke(), workdir=tmp_path)
    # A stored problem is not run again.
    path = tmp_path / "problems" / "beale_2.json"
    kept = json.loads(path.read_text())
    kept["row"]["runs"]["scipy"]["evaluations"] = 12345
    path.write_text(json.dumps(kept))
    (tmp_path / "problems" / "robust_diabetes_10.json").unlink()
    again = benchmark_lbfgs.main(dataclasses.replace(config, max_minutes=0.0))
    assert again["problems"] == 1  # the other one is left for the next call
    assert again["runs"][0]["runs"]["scipy"]["evaluations"] == 12345
    other = dataclasses.replace(config, tolerance=1e-3, names=("beale_2",))
    assert benchmark_lbfgs.main(other)["runs"][0]["runs"]["scipy"]["evaluations"] < 100
