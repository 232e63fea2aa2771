"""One smoke run of each experiment a session, for all tests that look at its results."""

import contextlib
import dataclasses
import importlib
import io
from pathlib import Path
from typing import NamedTuple

import pytest


class SmokeRun(NamedTuple):
    """What an experiment returned, wrote and printed under its smoke configuration."""

    results: dict
    workdir: Path
    output: str
    errors: str


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """Module name → `SmokeRun`; a second call gives the first one's."""
    done = {}

    def run(module: str) -> SmokeRun:
        if module not in done:
            experiment = importlib.import_module(module)
            workdir = tmp_path_factory.mktemp(module.rsplit(".", 1)[-1]) / "run"
            config = experiment.smoke()
            # Of an experiment on runs, `workdir` is the run's and `target` that of the results.
            place = "target" if hasattr(config, "target") and config.workdir is None else "workdir"
            config = dataclasses.replace(config, **{place: workdir})
            output, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                results = experiment.main(config)
            done[module] = SmokeRun(results, workdir, output.getvalue(), errors.getvalue())
        return done[module]

    return run
