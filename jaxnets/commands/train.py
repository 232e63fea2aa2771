"""Train a network on images, on any number of devices; a killed run goes on where it was.

Command:  jaxnets train
          jaxnets train folder:photos --epochs 20 --validation 0.1
          jaxnets train folder:photos --model resnet50 --weights resnet50-0676ba61.pth
          jaxnets train --dataset cifar10 --model resnet20 --epochs 12
Time:     digits with LeNet-5 about half a minute on two CPU cores, compilation included.
Result:   test accuracy of at least 98 % on digits; the documentation's results have the others.

The run lives in --workdir: config.json, metrics.jsonl, checkpoints/, and when it has ended
summary.json, classes.json and pictures: curves, confusion matrix, filters, the worst mistakes. The
same command again resumes it. On a pod, start the same command on every host with --distributed.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets.tasks import Recipe, apply_recipe, choose_recipe, train_classifier
from jaxnets.tasks.default_recipes import describe_recipe
from jaxnets.tasks.published import require_model
from jaxnets.tasks.training import load_recipe_dataset
from jaxnets.train import RunOptions
from jaxnets.train.processes import join

# Own images that differ in size are brought to this many pixels a side, unless the user says more.
OWN_IMAGE_SIZE = 64
OWN_MODEL = "resnet20"


@dataclass(frozen=True)
class Config(Recipe, RunOptions):
    """The recipe decides what is learned; the other options only how the run is carried out.

    Attributes:
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
    """

    data_dir: Path | None = None


def with_network(config: Config) -> Config:
    """The network of a file of weights that says it; others must be named.

    Args:
        config: what was asked for.

    Returns:
        The same, with the file's network.

    Raises:
        JaxnetsError: weights without a network.

    >>> with_network(Config(weights="compressed_SqueezeNet.net")).model
    'squeezenet1_0_paper'
    """
    if config.weights is None or config.model != Config.model:
        return config
    return dataclasses.replace(config, model=require_model(None, config.weights))


def choose_defaults(config: Config) -> Config:
    """Defaults that suit the data: image size and network for photographs, and the recipe.

    Args:
        config: what was asked for.

    Returns:
        The same, with other defaults where options were not given.

    >>> choose_defaults(Config()).recipe
    'small'
    """
    config, defaults = with_network(config), Config()
    own = config.dataset.startswith("folder:")
    if config.weights is None and own:
        from jaxnets.data.folder import image_sizes, scan_folder

        sizes = image_sizes(scan_folder(config.dataset.removeprefix("folder:")))
        if config.image_size is None and (len(sizes) != 1 or max(max(sizes)) > OWN_IMAGE_SIZE):
            config = dataclasses.replace(config, image_size=OWN_IMAGE_SIZE)
        if config.model == defaults.model:
            config = dataclasses.replace(config, model=OWN_MODEL)
    elif config.weights is not None and own and config.image_size is None:
        from jaxnets.pretrained import preprocessing

        config = dataclasses.replace(config, image_size=preprocessing(config.model).crop)
    if config.dataset == defaults.dataset and config.recipe in (None, "auto"):
        # The digits are there in a moment, and their count is known.
        examples, side = config.train_examples or 1437, 8
    else:
        dataset = load_recipe_dataset(config, config.data_dir)
        examples, side = len(dataset.train), max(dataset.image_shape[:2])
    name = config.recipe
    if name in (None, "auto"):
        name = choose_recipe(
            config.model,
            examples=examples,
            image_size=side,
            pretrained=config.weights is not None,
            head_only=config.fine_tune == "head",
        )
    return apply_recipe(config, name, examples=examples)


def main(config: Config) -> dict[str, Any]:
    """Train (or resume) and return the contents of ``summary.json``.

    A run that was asked to stop (SIGTERM, Ctrl-C) returns ``{"interrupted_at": step}`` after it
    has saved its state.
    """
    if config.weights is not None and config.fine_tune is None:
        config = dataclasses.replace(config, fine_tune="all")
    config = with_network(config)
    # Before anything asks JAX a question: it would start alone. Weights are read and lines printed
    # long before the run begins.
    join(config)
    name = f"recipe {config.recipe}: " if config.recipe else ""
    size = f", images {config.image_size}×{config.image_size}" if config.image_size else ""
    config.say(f"{name}{config.model}{size}, {describe_recipe(config)}")
    if config.weights is not None:
        from jaxnets.transfer import fine_tune

        return fine_tune(config, config, data_dir=config.data_dir)
    return train_classifier(config, config, data_dir=config.data_dir)
