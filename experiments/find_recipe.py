"""Find a recipe by the procedure of the notes (L114-L119), step by step, and check it.

Command:  python -m experiments.find_recipe
          python -m experiments.find_recipe --dataset cifar10 --train-examples 5000 --model mlp \
              --epochs 20 --coarse-trials 24 --fine-trials 20 --keys 10
Time:     digits four minutes, CIFAR-10 as above six and a half, on two CPU cores.
Result:   runs/find_recipe/DATASET-MODEL/: report.md with its pictures, recipe.json, summary.json
          and study.db with every trial. It ends with the test accuracies of the recipe found and
          of the default one, and the command that trains with the recipe.

1. The loss of the untrained network is ln C. 2. It learns a small set by heart. 3. A range test
finds the learning rate. 4. Random search: short trials over wide ranges, then long ones around the
best, each round stopping the worst early, but never the default recipe; at last the best few and
the default again with other keys. 5. The curves are diagnosed.
The search sees a validation part cut from the training images; the test images are used once, at
the end. Needs jaxnets[search].

The same command goes on where it was killed, and with more trials or keys where it ended.
--space name=log:low:high, name=low:high and name=a,b,c choose what is searched.
"""

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax

from experiments.recipe_search import compare, finals, first_steps, report
from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.recipe import Recipe
from jaxnets.train import RunDirectory, choose_devices
from jaxnets.train.run_directory import read_json, write_json
from jaxnets.tune import (
    SEARCHABLE,
    Candidates,
    Choice,
    Range,
    Round,
    coarse_to_fine,
    edge_warnings,
    figures,
    parse_space,
    split_held_out,
)
from jaxnets.tune.candidate_programs import TRACED
from jaxnets.tune.optuna_parts import import_optuna
from jaxnets.tune.space import check_space, describe_space

_HOW = ("workdir", "data_dir", "devices", "together", "restart", "quiet")
# More of these go on with the same search.
_BUDGETS = ("coarse_trials", "fine_trials", "keys")


@dataclass(frozen=True)
class Config:
    """What is searched, and how much.

    Attributes:
        dataset: "digits" (embedded), or a TFDS image-classification set.
        train_examples: use this many training images.
        model: a name of `jaxnets.list_models()`.
        epochs: of the recipe.
        space: what is searched (default: learning rate around the range test's suggestion, batch
            size, weight decay, label smoothing, augmentation).
        coarse_trials: settings of the first round.
        coarse_epochs: epochs of its trials.
        fine_trials: settings of the second round, which train for all epochs.
        zoom: how many times narrower the second round's ranges are.
        valid_share: of the training images, held out for the search.
        keys: runs of each recipe on the test set.
        small_set: images to learn by heart.
        seed: of everything.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        devices: use this many devices, a trial on each (default: all).
        together: trials that train on a device as one program (default: 4 where nothing that is
            compiled in is searched and no convolution meets a CPU, else 1).
        workdir: default: runs/find_recipe/DATASET-MODEL.
        restart: begin anew; the old directory is moved aside.
        quiet: no progress bar and no findings on the terminal.
    """

    dataset: str = "digits"
    train_examples: int | None = None
    model: str = "lenet5"
    epochs: int = 12
    space: tuple[str, ...] = ()
    coarse_trials: int = 16
    coarse_epochs: int = 3
    fine_trials: int = 14
    zoom: float = 2.0
    valid_share: float = 0.2
    keys: int = 5
    small_set: int = 50
    seed: int = 0
    data_dir: Path | None = None
    devices: int | None = None
    together: int | None = None
    workdir: Path | None = None
    restart: bool = False
    quiet: bool = False

    @property
    def run_path(self) -> Path:
        name = f"{self.dataset}-{self.model}".replace("/", "-").replace(":", "-")
        return self.workdir or Path("runs/find_recipe") / name

    @property
    def recipe(self) -> Recipe:
        """The default recipe, for this network, data and length."""
        return Recipe(
            dataset=self.dataset,
            train_examples=self.train_examples,
            model=self.model,
            epochs=self.epochs,
            seed=self.seed,
        )


def smoke() -> Config:
    """A perceptron, 200 images, a few trials of one and two epochs."""
    return Config(
        model="mlp",
        train_examples=200,
        epochs=2,
        space=("learning_rate=log:1e-4:1e-1", "label_smoothing=0:0.1"),
        coarse_trials=4,
        coarse_epochs=1,
        fine_trials=2,
        keys=2,
        small_set=20,
        devices=1,
        workdir=Path("runs/smoke/find_recipe"),
        restart=True,
        quiet=True,
    )


def check(config: Config) -> None:
    """Raise a `JaxnetsError` for a budget or a space with which no search can run."""
    import_optuna()
    config.recipe.check()
    for name, least in (
        ("coarse_trials", 2),
        # The best of the first round, and the default recipe.
        ("fine_trials", 2),
        ("coarse_epochs", 1),
        ("keys", 2),
    ):
        if getattr(config, name) < least:
            raise JaxnetsError(
                f"--{name.replace('_', '-')} {getattr(config, name)} is too small a budget; give "
                f"{least} or more"
            )
    if config.coarse_epochs > config.epochs:
        raise JaxnetsError(
            f"--coarse-epochs {config.coarse_epochs} is above --epochs {config.epochs}"
        )
    if config.space:
        check_space(parse_space(config.space), SEARCHABLE)


def main(config: Config) -> dict[str, Any]:
    """Run all steps (or the rest of them) and return the contents of ``summary.json``."""
    check(config)
    dataset = load_dataset(
        config.dataset, data_dir=config.data_dir, train_examples=config.train_examples
    )
    if len(dataset.train) < 2 * dataset.num_classes:
        raise JaxnetsError(
            f"{len(dataset.train)} training images are too few for {dataset.num_classes} "
            "classes: give at least two of each"
        )
    settings = {k: v for k, v in asdict(config).items() if k not in _HOW + _BUDGETS}
    with RunDirectory(config.run_path, settings, restart=config.restart) as directory:
        say = _silent if config.quiet else print
        done = directory.summary
        if done and all(getattr(config, name) <= done["config"][name] for name in _BUDGETS):
            say(f"This search is finished ({config.run_path}); --restart begins anew.")
            say(_ending(done, config))
            return done
        return _search(config, dataset, config.run_path, say)


def _search(config, dataset, workdir, say) -> dict[str, Any]:
    recipe = config.recipe
    train, valid = split_held_out(dataset.train, config.valid_share, seed=config.seed)
    searched = dataset._replace(train=train)
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(train)))
    say(f"{config.model} on {config.dataset}: {len(train):,} images to train on, "
        f"{len(valid):,} held out for the search")  # fmt: skip

    steps = read_json(workdir / "steps.json")
    if steps is None or not (workdir / "rates.png").exists():
        steps = first_steps.take(
            recipe, searched, workdir, small_set=config.small_set, overfit_steps=400, rates=100
        )
        write_json(workdir / "steps.json", steps)
    for number, name in enumerate(("first_loss", "overfit", "rates"), start=1):
        for finding in steps[name]["findings"]:
            say(f"{number}. {finding}")
    if not steps["first_loss"]["ok"]:
        say("   note: step 1 is worth mending; the first steps of training go into it otherwise.")
    if not steps["overfit"]["ok"]:
        say("   note: mend what step 2 found first; what follows may be in vain.")

    space = _space(config, recipe, steps["rates"]["suggestion"], dataset)
    say("4. searching " + ", ".join(f"{k} in {v}" for k, v in describe_space(space).items()))
    start = _start(space, recipe)
    together = config.together or _together(space, dataset, config.model)
    studies = coarse_to_fine(
        lambda epochs: Candidates(recipe, searched, valid, epochs, seed=config.seed).objective(),
        space,
        [
            Round(config.coarse_trials, config.coarse_epochs),
            # Augmentation and decay are behind until half of the epochs and ahead at the end.
            Round(config.fine_trials, config.epochs, config.zoom, first_rung=0.5),
        ],
        store=workdir / "study.db",
        configuration=json.loads(json.dumps(asdict(recipe) | {"valid_share": config.valid_share})),
        reduction=2,
        seed=config.seed,
        devices=choose_devices(config.devices),
        together=together,
        start=start,
        open_bar=None if config.quiet else _bar,
    )
    figures.save_search(studies, workdir / "search.png")
    warnings = edge_warnings(studies[0])
    contestants = finals.finalists(studies[-1], start and studies[0].point_of(start))
    with _optional_bar(config, "finals", len(contestants) * finals.KEYS) as bar:
        ranking = finals.run(
            recipe, contestants, searched, valid, store=workdir / "finals.json", progress=bar
        )
    best = ranking[0]
    say(f"   best: {report.settings_in_words(best['settings'])}: {100 * best['mean']:.2f} % of the "
        "held-out images")  # fmt: skip
    for warning in warnings:
        say(f"   note: in the coarse round {warning}")

    runs = {"recipe": best["settings"], "default": {}} if best["settings"] else {"default": {}}
    curves = {
        name: compare.curves(recipe, one, searched, valid, workdir / f"curves_{name}.png")
        for name, one in runs.items()
    }
    for name, entry in curves.items():
        say(f"5. {name}: {entry['kind'].replace('_', ' ')}. {entry['finding']}. "
            f"Advice: {entry['advice']}")  # fmt: skip

    with _optional_bar(config, "test set", 2 * config.keys) as bar:
        comparison = compare.on_the_test_set(
            recipe,
            best["settings"],
            dataset,
            keys=config.keys,
            store=workdir / "comparison.json",
            progress=bar,
        )
    found = replace(recipe, **best["settings"])
    write_json(workdir / "recipe.json", asdict(found))
    summary = {
        "config": {k: v for k, v in asdict(config).items() if k not in _HOW},
        "train_images": len(train),
        "valid_images": len(valid),
        "steps": steps,
        "space": describe_space(space),
        "trials": [len(study.table()) for study in studies],
        "settings": best["settings"],
        "valid_accuracy": best["mean"],
        "finals": ranking,
        "warnings": warnings,
        "curves": curves,
        "comparison": comparison,
        "command": report.command_line(found),
    }
    tables = [report.trials_table(study) for study in studies]
    (workdir / "report.md").write_text(report.markdown(summary, tables), encoding="utf-8")
    # Last: its presence says that the search is finished.
    write_json(workdir / "summary.json", summary)
    say(_ending(summary, config))
    return summary


def _space(config: Config, recipe: Recipe, suggestion: float, dataset) -> dict[str, Range | Choice]:
    if config.space:
        return parse_space(config.space)
    usual = recipe.learning_rate
    # A mirrored digit is no digit.
    flips = () if dataset.image_shape[-1] == 1 else ("crop_flip",)
    return {
        # The default recipe's rate is among them: what is found has to beat it.
        "learning_rate": Range(min(suggestion / 20, usual / 2), max(suggestion * 5, usual * 2)),
        # The epochs are given, so smaller batches mean more steps.
        "batch_size": Choice(tuple(sorted({max(1, recipe.batch_size // n) for n in (4, 2, 1)}))),
        "weight_decay": Range(1e-6, 1e-2),
        "label_smoothing": Range(0.0, 0.2, log=False),
        "augment": Choice(("none", "crop", *flips)),
    }


def _start(space, recipe: Recipe) -> dict[str, Any] | None:
    """The default recipe as the first trial; None where a choice excludes it."""
    usual = {name: getattr(recipe, name) for name in space}
    excluded = any(
        usual[name] not in part.values for name, part in space.items() if isinstance(part, Choice)
    )
    return None if excluded else usual


def _together(space, dataset, model: str) -> int:
    """Side by side, convolutions become grouped ones, which are slow on CPUs."""
    if any(name not in TRACED for name in space):
        return 1
    on_cpu = jax.local_devices()[0].platform == "cpu"
    return 4 if not on_cpu or model == "mlp" else 1


def _bar(name: str, total: int):
    from tqdm import tqdm

    return tqdm(total=total, desc=f"   {name}", dynamic_ncols=True, smoothing=0.1)


def _optional_bar(config: Config, name: str, total: int):
    return contextlib.nullcontext() if config.quiet else _bar(name, total)


def _ending(summary: dict[str, Any], config: Config) -> str:
    return (
        report.comparison_in_words(summary["comparison"], summary["config"]["epochs"])
        + f"\n{summary['command']}\n{config.run_path}: report.md, recipe.json, summary.json"
    )


def _silent(*_: Any) -> None:
    """Says nothing."""


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
