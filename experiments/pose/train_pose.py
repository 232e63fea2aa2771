"""Find the joints of a person: train on Leeds sports poses, on COCO's people, or on your own.

Command:  python -m experiments.pose.train_pose --data lspet14
          python -m experiments.pose.train_pose --data lspet14 --size 192 --recipe.degrees 30 \\
              --recipe.trunk fastestdet.pth --workdir runs/trunk_pose
          python -m experiments.pose.train_pose --data people.json --workdir runs/people
          python -m experiments.pose.train_pose --data lspet14 --recipe.network deep_pose \\
              --workdir runs/deep_pose
          python -m experiments.pose.train_pose --input photo.jpg
Time:     Leeds' 1,787 images of 112×112 about a quarter of an hour on two CPU cores, on a trunk and
          with 192×192 as long.
Result:   summary.json: PCK at 0.2 of the torso on the test, of each joint, and that of the median
          pose, which sees no image; poses.png; see docs/results.md.

Without --data it learns figures of sticks. --input draws the joints of people, each cut out of a
photograph, by the run in --workdir, and lists them with --json. The same command resumes.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.data import read_image
from jaxnets.data.poses import PoseSplits, read_leeds_poses, read_people
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.pose_pictures import draw_pose
from jaxnets.study.stick_figures import stick_figure_splits
from jaxnets.tasks.pose_training import PoseRecipe, load_pose, train_pose
from jaxnets.train import RunOptions


@dataclass(frozen=True)
class Config(RunOptions):
    """What to train on, and how.

    Attributes:
        data: a folder with joints.npz and images/, or a JSON file of COCO's format with keypoints;
            None for figures of sticks.
        images: the folder that the JSON's file names are relative to.
        size: height and width of the images.
        figures: of sticks, to learn from.
        input: images of a person each, for the run in ``workdir``; nothing is trained then.
        json: print what is found in them as JSON.
        recipe: what decides the result.
    """

    data: Path | None = None
    images: Path | None = None
    size: int = 112
    figures: int = 2000
    input: tuple[Path, ...] = ()
    json: bool = False
    recipe: PoseRecipe = field(default_factory=PoseRecipe)
    workdir: Path | None = Path("runs/train_pose")
    evaluate_every: int = 5


def smoke() -> Config:
    """An epoch on a few figures of sticks."""
    recipe = PoseRecipe(width=4, epochs=1, batch_size=2)
    run = {"devices": 1, "quiet": True, "restart": True, "evaluate_every": 0}
    return Config(size=32, figures=8, recipe=recipe, workdir=Path("runs/smoke/train_pose"), **run)


def read(config: Config) -> PoseSplits:
    """The people to learn from and to test on."""
    if config.data is None:
        return stick_figure_splits(config.figures, size=config.size, seed=config.recipe.seed)
    if config.data.suffix == ".json":
        return read_people(config.data, config.images, size=config.size)
    return read_leeds_poses(config.data, size=config.size)


def draw(config: Config, splits: PoseSplits) -> None:
    """Twelve people of the test with what was found."""
    finder = load_pose(config.workdir)
    figure, rows = new_figure(6, 2, width=1.9, height=2.0, frame=True)
    chosen = np.linspace(0, len(splits.test) - 1, 12).astype(int)
    for ax, image in zip(np.ravel(rows), splits.test.arrays["image"][chosen], strict=True):
        ax.imshow(draw_pose(image, finder.find(image), splits.skeleton))
        ax.set_axis_off()
    save_figure(figure, config.workdir / "poses.png")


def look(config: Config) -> dict[str, Any]:
    """Draw or list the joints of the people in ``input``."""
    from PIL import Image

    finder, found = load_pose(config.workdir), {}
    for path in config.input:
        image = read_image(path)
        points = finder.find(image)
        pairs = zip(finder.skeleton.names, points.round(1).tolist(), strict=True)
        found[str(path)] = dict(pairs)
        if not config.json:
            place = config.workdir / f"{path.stem}_pose.png"
            Image.fromarray(draw_pose(image, points, finder.skeleton)).save(place)
            print(f"{path}: {place}")
    if config.json:
        print(json.dumps(found))
    return found


def main(config: Config) -> dict[str, Any]:
    """Train and draw, or look at the input."""
    if config.input:
        return look(config)
    splits = read(config)
    found = train_pose(config.recipe, config, splits)
    if not found.interrupted:
        draw(config, splits)
        config.say(f"PCK {found.summary['PCK']:.4f}; {config.workdir}/poses.png")
    return found.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
