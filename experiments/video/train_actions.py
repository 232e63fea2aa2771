"""Train a network to say what each person of a clip does: generated people, or AVA's files.

Command:  python -m experiments.video.train_actions
          python -m experiments.video.train_actions --still --workdir runs/actions_still
          python -m experiments.video.train_actions --dataset ava:FOLDER --workdir runs/ava
Time:     generated people: minutes on two CPU cores.
Result:   summary.json: AVA's frame mAP at an IoU of .5, and the average precision of each action;
          see docs/results.md. --still is the control: without motion directions are a guess.

FOLDER has train.csv and val.csv of AVA's form (video,second,x1,y1,x2,y2,action,person),
actions.pbtxt or actions.txt, videos/NAME.mp4, and where a detector found the people val_boxes.csv.
With --model and --weights training begins with PySlowFast's. The run is read by
experiments.video.detect_actions; a killed one goes on where it was.
"""

from dataclasses import dataclass, field
from pathlib import Path

import jax

from jaxnets import command, models, pretrained
from jaxnets.errors import JaxnetsError
from jaxnets.study.action_sets import read_people
from jaxnets.tasks import ActionInfo, ActionRecipe, train_actions
from jaxnets.tasks.action_finder import STRIDES
from jaxnets.train import RunOptions


@dataclass(frozen=True)
class Config(RunOptions):
    """What to train on, and the network.

    Attributes:
        dataset: "people" (generated) or "ava:FOLDER".
        still: of generated people, every frame is the middle one, as a control.
        examples: generated clips; a quarter more for the test.
        model: a registered network, such as ava_slow_4x16_r50, in place of a small one.
        weights: with ``model``, where to begin: a file of PySlowFast's.
        size: height and width of the canvas that frames are fitted into.
        frames, stride, fps: of a clip; frames and stride of a registered network are its own.
        start: the second of AVA's rows at which the videos begin; 900 for its usual excerpts.
        width: channels of the small network's slow stem.
        recipe: what decides the result.
    """

    dataset: str = "people"
    still: bool = False
    examples: int = 1000
    model: str | None = None
    weights: Path | None = None
    size: int = 64
    frames: int = 8
    stride: int = 1
    fps: float = 30.0
    start: float = 0.0
    width: int = 16
    recipe: ActionRecipe = field(default_factory=ActionRecipe)
    workdir: Path | None = Path("runs/train_actions")


def smoke() -> Config:
    """A few clips, one epoch."""
    recipe = ActionRecipe(epochs=1, batch_size=2)
    return Config(examples=4, size=32, frames=4, width=8, recipe=recipe)


def main(config: Config) -> dict:
    """Train or go on and measure; returns what summary.json holds."""
    frames, stride = config.frames, config.stride
    mean, std = (0.45,), (0.225,)
    if config.model is not None:
        if config.model not in STRIDES:
            raise JaxnetsError(
                f"--model: got {config.model!r}; expected one of {', '.join(STRIDES)}"
            )
        about = models.model_info(config.model)
        frames, stride, mean, std = about.frames, STRIDES[config.model], about.mean, about.std
    elif config.weights is not None:
        raise JaxnetsError("--weights needs --model, the network that they are of")
    source, test, names = read_people(
        config.dataset,
        size=config.size,
        frames=frames,
        stride=stride,
        fps=config.fps,
        start=config.start,
        examples=config.examples,
        seed=config.recipe.seed,
        still=config.still,
    )
    if config.dataset != "people":
        mean, std = mean * (3 // len(mean)), std * (3 // len(std))
    clip = (frames, stride, config.fps, mean, std)
    width = None if config.model else config.width
    info = ActionInfo(names, (config.size, config.size), *clip, width=width, model=config.model)
    start = None
    if config.weights is not None:
        key = jax.random.key(config.recipe.seed)
        fields = {"num_classes": len(names), "reset_head": True, "key": key}
        start = pretrained.load(config.model, config.weights, **fields)[1]
    decided = {"dataset": config.dataset, "still": config.still, "examples": config.examples}
    decided |= {"start": config.start, "weights": config.weights and str(config.weights)}
    fitted = train_actions(
        config.recipe, config, source, info, test=test, settings=decided, variables=start
    )
    return fitted.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
