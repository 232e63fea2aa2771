"""Adam at a constant rate, SGD with momentum over a grid of rates, L-BFGS on the full batch.

Command:  python -m experiments.optimization.optimizer_shootout
          python -m experiments.optimization.optimizer_shootout --problems softmax network
          python -m experiments.optimization.optimizer_shootout --problems cifar10 --cifar10-keys 3
Time:     softmax and network a minute and a half together on two CPU cores; cifar10, 84 runs of
          about 20 s each on busy cores, half an hour.
Result:   runs/optimizer_shootout/: summary.json with the table and verdicts on common advice,
          shootout.png, config.json.

Each method gets the rate of the grid that is best on a validation part; test accuracies are means
over keys (first parameters and order of batches) with 95 % intervals. One pass is one evaluation
of the gradient on as many examples as the training part has.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnets import command
from jaxnets.errors import UnknownNameError
from jaxnets.study.optimization import shootout_claims as claims
from jaxnets.study.optimization import shootout_figures as figures
from jaxnets.study.optimization import shootout_runs as runs
from jaxnets.study.optimization.small_problems import PROBLEMS
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What runs.

    Attributes:
        problems: of softmax, network, cifar10; cifar10 is left out where it is not prepared.
        rates: the grid of learning rates, the same for every method.
        keys: runs of each rate.
        epochs: passes over the training part.
        batch_size: of the mini-batch methods.
        cifar10_keys: runs of each rate on CIFAR-10.
        cifar10_epochs: passes on CIFAR-10.
        cifar10_examples: images of CIFAR-10 to use; a fifth of them is the validation part.
        data_dir: where prepared TFDS sets lie (default: $TFDS_DATA_DIR).
        workdir: where results go.
    """

    problems: tuple[str, ...] = ("softmax", "network", "cifar10")
    rates: tuple[float, ...] = tuple(float(f"{r:.3g}") for r in np.geomspace(1e-4, 1, 9))
    keys: int = 10
    epochs: int = 60
    batch_size: int = 64
    cifar10_keys: int = 3
    cifar10_epochs: int = 12
    cifar10_examples: int = 3000
    data_dir: Path | None = None
    workdir: Path = Path("runs/optimizer_shootout")


def smoke() -> Config:
    """Two rates, two keys, two passes of softmax regression."""
    return Config(
        problems=("softmax",),
        rates=(1e-3, 1e-1),
        keys=2,
        epochs=2,
        workdir=Path("runs/smoke/optimizer_shootout"),
    )


def main(config: Config) -> dict[str, Any]:
    """Run, judge, draw; returns the contents of ``summary.json``."""
    for name in config.problems:
        if name not in PROBLEMS:
            raise UnknownNameError("problem", name, PROBLEMS)
    write_settings(config)
    summary, drawn = {}, {}
    for name in config.problems:
        problem = PROBLEMS[name](data_dir=config.data_dir, examples=config.cifar10_examples)
        if problem is None:
            print(f"{name}: not prepared in {config.data_dir or '$TFDS_DATA_DIR'}, left out")
            continue
        small = problem.dense
        keys = config.keys if small else config.cifar10_keys
        epochs = config.epochs if small else config.cifar10_epochs
        budgets = sorted({b for b in (1, 2, 3, 5, 8, 12, 18, 26, 38, 56) if b <= epochs})
        with tqdm(total=(3 * len(config.rates) + 1) * keys, desc=name, unit="run") as progress:
            found = {
                method: runs.minibatch(
                    problem,
                    method,
                    config.rates,
                    keys=keys,
                    epochs=epochs,
                    batch_size=config.batch_size,
                    on_runs=progress.update,
                )
                for method in runs.METHODS
            }
            lbfgs = runs.full_batch(problem, budgets, keys=keys, on_runs=progress.update)
        summary[name] = {
            "title": problem.title,
            "keys": keys,
            "passes": epochs,
            "methods": {m: claims.summarize(c, config.rates) for m, c in found.items()},
            "lbfgs": claims.summarize_full_batch(*lbfgs),
            "claims": claims.judge(found, lbfgs, config.rates),
        }
        drawn[name] = (problem.title, found, lbfgs)
        print(claims.report(summary[name]))
    if drawn:
        figures.save(drawn, np.asarray(config.rates), config.workdir / "shootout.png")
    write_json(config.workdir / "summary.json", json_values(summary))
    print(f"{config.workdir}: summary.json, shootout.png")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
