"""Find a recipe by the procedure, step by step, and hold it against the default one.

Command:  python -m experiments.tuning.find_recipe
          python -m experiments.tuning.find_recipe --dataset cifar10 --train-examples 5000 \
              --model mlp --epochs 20 --coarse-trials 24 --fine-trials 20 --keys 10
Time:     digits four minutes, CIFAR-10 as above six and a half, on two CPU cores.
Result:   runs/find_recipe/DATASET-MODEL/: report.md with its pictures, recipe.json, summary.json
          and study.db with every trial. It ends with the test accuracies of the recipe found and
          of the default one, and the command that trains with the recipe.

`jaxnets.tune.procedure` says what the five steps are. The search sees a validation part cut from
the training images; the test images are used once, at the end. Needs jaxnets[search]. The same
command goes on where it was killed, and with more trials or keys where it ended. --space
name=log:low:high, name=low:high and name=a,b,c choose what is searched.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.recipe import Recipe
from jaxnets.train import RunDirectory, choose_devices
from jaxnets.tune.default_space import check_search, require_enough
from jaxnets.tune.procedure import Budget, find_recipe
from jaxnets.tune.recipe_report import ending

# Options that do not decide the result, and those of which more go on with the same search.
HOW = ("workdir", "data_dir", "devices", "together", "restart", "quiet")
BUDGETS = ("coarse_trials", "fine_trials", "keys")
# The best of the first round and the default recipe are in the second; an interval needs two keys.
LEAST = {"coarse_trials": 2, "fine_trials": 2, "coarse_epochs": 1, "keys": 2}


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
        validation: of the training images, held out for the search.
        keys: runs of each recipe on the test set.
        small_set: images to overfit.
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
    validation: float = 0.2
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
        names = ("dataset", "train_examples", "model", "epochs", "seed")
        return Recipe(**{name: getattr(self, name) for name in names})

    @property
    def budget(self) -> Budget:
        """How much may be tried."""
        return Budget(**{field.name: getattr(self, field.name) for field in fields(Budget)})


def smoke() -> Config:
    """A perceptron, 200 images, a few trials of one and two epochs."""
    space = ("learning_rate=log:1e-4:1e-1", "label_smoothing=0:0.1")
    size = {"train_examples": 200, "epochs": 2, "small_set": 20, "devices": 1}
    budget = {"coarse_trials": 4, "coarse_epochs": 1, "fine_trials": 2, "keys": 2}
    how = {"workdir": Path("runs/smoke/find_recipe"), "restart": True, "quiet": True}
    return Config(model="mlp", space=space, **size, **budget, **how)


def check_budget(config: Config) -> None:
    """Raise a `JaxnetsError` for a budget with which no search can run."""
    for name, least in LEAST.items():
        if (value := getattr(config, name)) < least:
            option = f"--{name.replace('_', '-')} {value}"
            raise JaxnetsError(f"{option} is too small a budget; give {least} or more")
    if (coarse := config.coarse_epochs) > config.epochs:
        raise JaxnetsError(f"--coarse-epochs {coarse} is above --epochs {config.epochs}")


def main(config: Config) -> dict[str, Any]:
    """Run all steps (or the rest of them) and return the contents of ``summary.json``."""
    space = check_search(config.recipe, config.space)
    check_budget(config)
    workdir = config.run_path
    dataset = load_dataset(
        config.dataset, data_dir=config.data_dir, train_examples=config.train_examples
    )
    require_enough(dataset)
    settings = {k: v for k, v in asdict(config).items() if k not in HOW}
    decides = {k: v for k, v in settings.items() if k not in BUDGETS}
    with RunDirectory(workdir, decides, restart=config.restart) as directory:
        done = directory.summary
        if done and all(getattr(config, name) <= done["config"][name] for name in BUDGETS):
            if not config.quiet:
                print(f"This search is finished ({workdir}); --restart begins anew.")
                print(ending(done, workdir))
            return done
        recipe, budget = config.recipe, config.budget
        options = {"together": config.together, "quiet": config.quiet, "settings": settings}
        options |= {"space": space, "devices": choose_devices(config.devices)}
        return find_recipe(recipe, dataset, workdir, budget, **options)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
