"""Train a small segmenter on images with label images: a narrow residual network with a pyramid.

Command:  python -m experiments.segmentation.train_segmenter --data FOLDER --classes road sky …
          python -m experiments.segmentation.train_segmenter --data camvid --size 180 240 \\
              --void 11 --workdir runs/camvid
Time:     CamVid (367 images of 240×180) about fifteen minutes on two CPU cores.
Result:   runs/train_segmenter/: mean IoU on the test images in summary.json, and segmented.png:
          images, what is there and what was found. CamVid: see docs/results.md.

FOLDER/SPLIT holds images with label images beside them (a.jpg, a.png), or FOLDER/images/SPLIT and
FOLDER/labels/SPLIT. A killed run goes on where it was.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.data import LabelImageSource, read_image
from jaxnets.data.object_masks import read_numbers
from jaxnets.errors import JaxnetsError
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.object_pictures import class_color
from jaxnets.tasks.segmenter import SegmenterRecipe, draw_labels, load_segmenter, train_segmenter
from jaxnets.train import RunOptions

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"),
    *("pedestrian", "bicyclist"),
)


@dataclass(frozen=True)
class Config(RunOptions):
    """What to train on, and how.

    Attributes:
        data: the folder of the data set.
        classes: names in the order of the numbers in the label images (default: CamVid's eleven).
        void: the number of pixels that do not count.
        size: height and width of the canvas that images are fitted into.
        pictures: test images to draw.
        recipe: what decides the result.
    """

    data: Path | None = None
    classes: tuple[str, ...] = CAMVID
    void: int = 11
    size: tuple[int, int] = (180, 240)
    pictures: int = 3
    recipe: SegmenterRecipe = field(default_factory=SegmenterRecipe)
    workdir: Path | None = Path("runs/train_segmenter")
    evaluate_every: int = 10


def smoke() -> Config:
    """An epoch on a few pictures of bright squares, made on the spot."""
    recipe = SegmenterRecipe(width=2, epochs=1, batch_size=2)
    run = {"devices": 1, "quiet": True, "restart": True, "classes": ("dark", "bright"), "void": 9}
    folder = write_squares(Path("runs/smoke/squares"))
    return Config(data=folder, size=(32, 32), pictures=1, recipe=recipe, **run)


def write_squares(folder: Path) -> Path:
    """Three splits of two pictures."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            image, labels = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)
            top, left = rng.integers(0, 16, 2)
            image[top : top + 16, left : left + 16] = rng.integers(100, 256, 3)
            labels[top : top + 16, left : left + 16] = 1
            Image.fromarray(image).save(folder / split / f"{number}.jpg")
            Image.fromarray(labels).save(folder / split / f"{number}.png")
    return folder


def open_split(config: Config, name: str) -> LabelImageSource | None:
    """A split of the data set, or None where there is none."""
    for images, labels in (
        (config.data / "images" / name, config.data / "labels" / name),
        (config.data / name, config.data / name),
    ):
        if images.is_dir():
            classes = config.classes
            return LabelImageSource(images, labels, classes, size=config.size, void=config.void)
    return None


def draw(config: Config, test: LabelImageSource) -> None:
    """Image, truth and result beside each other."""
    segmenter = load_segmenter(config.workdir)
    colors = [class_color(k) for k in range(len(config.classes))]
    rows = np.linspace(0, len(test) - 1, max(1, config.pictures)).astype(int)
    figure, axes = new_figure(3, len(rows), width=3.2, height=2.6, frame=True)
    axes = axes if len(rows) > 1 else [axes]
    for row, panels in zip(rows, axes, strict=True):
        path, label_path = test.pairs[row]
        image, true = read_image(path), read_numbers(label_path)
        for ax, labels in zip(panels[1:], (true, segmenter.label(image)), strict=True):
            ax.imshow(draw_labels(image, labels, colors))
        panels[0].imshow(image)
    for ax, title in zip(axes[0], ("image", "truth", "found"), strict=True):
        ax.set_title(title)
    for ax in (ax for panels in axes for ax in panels):
        ax.set_axis_off()
    save_figure(figure, config.workdir / "segmented.png")


def main(config: Config) -> dict[str, Any]:
    """Train, draw, and return what summary.json holds."""
    if config.data is None:
        raise JaxnetsError("no data given: train_segmenter --data FOLDER")
    source, validation, test = (open_split(config, name) for name in ("train", "val", "test"))
    if source is None:
        raise JaxnetsError(f"{config.data}: expected a folder train, or images/train")
    found = train_segmenter(config.recipe, config, source, validation=validation, test=test)
    if test is not None and not found.interrupted:
        draw(config, test)
        config.say(f"mean IoU {found.summary['mIoU']:.4f}; {config.workdir}/segmented.png")
    return found.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
