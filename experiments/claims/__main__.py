"""The advice of the course, measured: every claim with its effect, interval, verdict and figure.

Command:  python -m experiments.claims
          python -m experiments.claims --quick
          python -m experiments.claims --only relu_is_fast dropout_helps
          python -m experiments.claims --list
          python -m experiments.claims --time
Time:     under two hours on two CPU cores (--time prints what each claim takes, or may take);
          --quick less than three minutes. Networks this small gain little from an accelerator.
Result:   runs/claims/ (runs/claims_quick/): claims.html (one file with everything in it), claims.md
          with figures/, results/NAME.json, summary.json.

The claims of a chapter are values in experiments/claims/CHAPTER.py. A killed run goes on where it
was when called again: finished claims are kept as long as their settings and their code stay the
same. A claim that raises is shown as an error, the others go on, and the exit status is 1.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.claims import find_claims
from jaxnets import command
from jaxnets.study.page import verdict_of, write_page
from jaxnets.study.programs import processor
from jaxnets.study.runner import Cost, choose, costs, run_claims
from jaxnets.train.run_directory import RunDirectory, write_json

TITLE = "What the course advises, measured"


@dataclass(frozen=True)
class Config:
    """What runs.

    Attributes:
        quick: few keys and steps on the embedded digits.
        only: names of claims (default: all).
        list: print the names and sentences, run nothing.
        time: print the minutes of each claim of a normal run, run nothing.
        restart: forget stored results of the chosen claims.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where results go (default: runs/claims, or runs/claims_quick).
    """

    quick: bool = False
    only: tuple[str, ...] = ()
    list: bool = False
    time: bool = False
    restart: bool = False
    data_dir: Path | None = None
    workdir: Path | None = None


def smoke() -> Config:
    """One claim that trains nothing large."""
    return Config(quick=True, only=("sgd_oscillates",), workdir=Path("runs/smoke/claims"))


def main(config: Config, *, mode: str | None = None) -> dict[str, Any]:
    """Run, write the page, and return verdicts, effects and times by claim.

    Args:
        config: see `Config`.
        mode: "full", "quick" or "tiny"; None: what ``config.quick`` says.
    """
    known = find_claims()
    claims = choose(known, config.only)
    if config.list:
        for name, claim in claims.items():
            print(f"{name:<32}{claim.sentence}")
        return {name: {"sentence": claim.sentence} for name, claim in claims.items()}
    if config.time:
        taken = costs(claims, config.workdir or Path("runs/claims"), data_dir=config.data_dir)
        print(_times(taken))
        return {name: cost._asdict() for name, cost in taken.items()}
    mode = mode or ("quick" if config.quick else "full")
    workdir = config.workdir or Path("runs/claims" if mode == "full" else f"runs/claims_{mode}")
    # For its lock: what is asked for may differ from call to call, every result carries its mark.
    with RunDirectory(workdir, {"experiment": "claims"}):
        if config.restart:
            for name in claims:
                (workdir / "results" / f"{name}.json").unlink(missing_ok=True)
        records = run_claims(claims, workdir, mode=mode, data_dir=config.data_dir)
        pages = write_page(records, workdir, mode=mode, machine=_machine(), title=TITLE)
        kept = (
            "sentence",
            "source",
            "verdict",
            "reason",
            "effects",
            "error",
            "seconds",
            "settings",
        )
        summary = {n: {k: r[k] for k in kept if k in r} for n, r in records.items()}
        write_json(workdir / "summary.json", summary)
    print(_report(records, mode))
    print(", ".join(map(str, pages)))
    return summary


def _machine() -> str:
    import jax

    return f"{processor()}, jax {jax.__version__}"


def _report(records: dict[str, dict[str, Any]], mode: str) -> str:
    lines = []
    for name, r in records.items():
        detail = r["error"].splitlines()[0][:80] if "error" in r else r["sentence"]
        lines.append(f"  {verdict_of(r, mode):<16}{name:<32}{r['seconds']:6.1f} s  {detail}")
    return "\n".join(lines)


def _times(taken: dict[str, Cost]) -> str:
    lines = [
        f"{name:<32}{cost.minutes:6.1f} min  {'measured' if cost.measured else 'at most'}"
        for name, cost in taken.items()
    ]
    left = sum(cost.minutes for cost in taken.values() if not cost.measured)
    total = sum(cost.minutes for cost in taken.values())
    return "\n".join(
        [
            *lines,
            f"{len(taken)} claims: {total:.0f} minutes on two idle CPU cores, of which at most "
            f"{left:.0f} are left",
        ]
    )


def _from_the_command_line(config: Config) -> dict[str, Any]:
    if config.quick:
        # A few steps each: compiling takes most of the time, and well compiled code saves less.
        # Read when JAX's CPU starts, so it is too late for a program that calls `main`.
        fast = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {fast}"
    return main(config)


if __name__ == "__main__":
    done = command.run(_from_the_command_line, Config, description=__doc__)
    sys.exit(1 if any("error" in record for record in done.values()) else 0)
