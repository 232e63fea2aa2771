"""Rewrite a network so that its large windows are several small ones, and see what that does.

Command:  python -m experiments.networks.small_windows alexnet
          python -m experiments.networks.small_windows resnet20 --weights PATH/resnet20-12fca82f.th
Time:     seconds for the costs; with --weights one minute on two CPU cores.
Result:   runs/small_windows/NAME/: windows.md (each convolution as it is, as a stack of 3×3, as n×1
          and 1×n: parameters, multiply-adds, receptive field), summary.json, and with --weights
          ranks.png: accuracy against arithmetic, where the trained kernels are cut to a share of
          their rank without any training.

AlexNet: n×1 and 1×n take 75 % of the convolutions' parameters and 113 % of their arithmetic: they
save a third of every 3×3, but at the first layer's stride of 4 the first part still works on all
rows. Five 3×3 in its place take 119 times its arithmetic. The published ResNet-20 is as accurate
with 0.75 of the rank (92.2 % of 2,000 images), 89.8 % with half, where the arithmetic is that of
the whole kernels, 63.9 % with a third: its 3×3 kernels are hardly separable without training.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.data.preprocessing import Standardization
from jaxnets.models import create_model, model_info
from jaxnets.pretrained import load
from jaxnets.study.networks.small_windows import (
    COSTS,
    FORMS,
    compare_windows,
    cut_ranks,
    save_ranks,
)
from jaxnets.study.tables import markdown_table
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to rewrite.

    Attributes:
        model: a registered network.
        weights: a file of `jaxnets.pretrained.load`, for the second part.
        dataset: whose test images the accuracy is of.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        images: how many of them.
        ranks: shares of the singular values that are kept.
        workdir: where the results go (default: runs/small_windows/NAME).
    """

    model: Annotated[str, tyro.conf.Positional] = "alexnet"
    weights: Path | None = None
    dataset: str = "cifar10"
    data_dir: Path | None = None
    images: int = 2000
    ranks: tuple[float, ...] = (1.0, 0.75, 0.5, 0.4, 0.33, 0.25)
    workdir: Path | None = None


def smoke() -> Config:
    """The costs of LeNet-5."""
    return Config(model="lenet5", workdir=Path("runs/smoke/small_windows"))


def main(config: Config) -> dict[str, Any]:
    """Write the table, the figure and the numbers; return the numbers."""
    info = model_info(config.model)
    workdir = config.workdir or Path("runs/small_windows") / config.model
    rows, sums = compare_windows(create_model(config.model), info.input_shape)
    forms = ("", ", 3×3", ", n×1 and 1×n")
    costs = [f"{cost}{form}" for form in forms for cost in ("parameters", "multiply-adds")]
    workdir.mkdir(parents=True, exist_ok=True)
    table = markdown_table(["convolution", "window", "sees", *costs], rows)
    (workdir / "windows.md").write_text(table)
    print(table)
    for form in FORMS:
        left = [sums[form][cost] / max(sums["whole"][cost], 1) for cost in COSTS]
        print(f"{form}: {left[0]:.0%} of the parameters, {left[1]:.0%} of the arithmetic")
    summary: dict[str, Any] = {"convolutions": sums}
    if config.weights is not None:
        model, variables = load(config.model, config.weights)
        test = load_dataset(config.dataset, data_dir=config.data_dir).test
        scale = Standardization(*(255 * np.float32(value) for value in (info.mean, info.std)))
        images = np.asarray(scale.apply(test.images[: config.images]))
        labels = np.asarray(test.labels[: config.images])
        summary["ranks"] = cut_ranks(model, variables, images, labels, config.ranks)
        save_ranks(summary["ranks"], workdir / "ranks.png")
        for row in summary["ranks"]:
            name = "whole kernels" if row["rank"] is None else f"rank {row['rank']:g}"
            print(f"{name}: accuracy {row['accuracy']:.2%}, {row['macs']:,} multiply-adds")
    write_json(workdir / "config.json", {k: str(v) for k, v in asdict(config).items()})
    write_json(workdir / "summary.json", summary)
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
