"""Train a video network: generated motion, silhouettes of people, or your own folder of videos.

Command:  python -m experiments.video.train_video --family c3d
          python -m experiments.video.train_video --dataset folder:VIDEOS --workdir runs/own_videos
          python -m experiments.video.train_video --dataset weizmann:weizmann_masks.npz \\
              --family slow_fusion --held-out all --workdir runs/weizmann --frames 8 --views 16 \\
              --test-views 8 --padding 1 --epochs 16
Time:     a minute or two on two CPU cores for generated motion and for one person of Weizmann.
Result:   summary.json: accuracy of clips, and of videos, whose clips' predictions are averaged.
          Generated motion: 12.5 % is chance; single frames cannot get above 50 % at "both", since
          they see only the appearance.

A folder has one of video files for each class. The same command again resumes.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import optax

from jaxnets import command, train
from jaxnets.augment import compose, on_clip, per_example, random_crop, random_flip
from jaxnets.errors import UnknownNameError
from jaxnets.study.video_families import VIDEO_FAMILIES, family_inputs
from jaxnets.study.video_folds import leave_one_person_out
from jaxnets.study.video_sets import read_clips
from jaxnets.tasks import score_videos, separate_streams, video_classification

# What a run that goes on must have had at its start, beside what `fit` keeps itself.
DECISIVE = (
    *("dataset", "family", "held_out", "frames", "stride", "size", "views", "examples"),
    *("learning_rate", "test_views", "crops", "padding"),
)


@dataclass(frozen=True)
class Config(train.RunOptions):
    """What to train on, and the network.

    Attributes:
        dataset: "motion", "weizmann:FILE" or "folder:FOLDER".
        family: of `jaxnets.study.video_families.VIDEO_FAMILIES`.
        held_out: of Weizmann, the person that it is tested on; "all": each in turn.
        frames, stride: of a clip.
        size: height and width.
        views: clips of each video, in training and in the test.
        test_views, crops: in the test, clips in time of each video, if other than ``views``, and
            squares in space of each along its longer side; SlowFast is measured with 10 and 3.
        padding: clips move by up to so many pixels in training, generated motion excepted; few
            where people are centered already.
        examples: clips of generated motion; a fifth more for the test.
        epochs, batch_size, learning_rate, seed: of training, by Adam; the rate falls to 0.
        workdir: where the run lives.
    """

    dataset: str = "motion"
    family: str = "c3d"
    held_out: str = "daria"
    frames: int = 8
    stride: int = 2
    size: int = 32
    views: int = 8
    test_views: int | None = None
    crops: Literal[1, 3] = 1
    padding: int = 2
    examples: int = 4000
    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 2e-3
    seed: int = 0
    workdir: Path = Path("runs/video")


def smoke() -> Config:
    """Little pictures, one epoch."""
    small = {"examples": 20, "epochs": 1, "batch_size": 8, "frames": 4, "size": 16}
    return Config(family="early_fusion", **small)


def main(config: Config) -> dict:
    """Train or go on, then measure clips and videos."""
    if config.held_out != "all":
        return train_one(config)
    return leave_one_person_out(
        config.dataset,
        config.workdir,
        lambda person, workdir: train_one(replace(config, held_out=person, workdir=workdir)),
    )


def train_one(config: Config) -> dict:
    """One network."""
    if config.family not in VIDEO_FAMILIES:
        raise UnknownNameError("family", config.family, VIDEO_FAMILIES)
    source, test, classes = read_clips(
        config.dataset,
        frames=config.frames,
        stride=config.stride,
        size=config.size,
        views=config.views,
        test_views=config.test_views,
        crops=config.crops,
        held_out=config.held_out,
        examples=config.examples,
        seed=config.seed,
    )
    family = VIDEO_FAMILIES[config.family]
    model = family.build(classes, config.frames, config.size)
    task = video_classification(classes)._replace(
        inputs=lambda batch: family_inputs(family, jnp.asarray(batch["clip"]))
    )
    task = task if family.flow is None else separate_streams(task)
    moved = partial(random_crop, padding=config.padding)
    changes = compose(on_clip(moved), on_clip(random_flip))
    settings = {name: getattr(config, name) for name in DECISIVE}
    before: dict[str, Any] = {"test_views": None, "crops": 1, "padding": 2}
    if config.dataset.startswith("weizmann:"):
        # Earlier runs saw other pictures of the same videos.
        settings["silhouettes"], before["silhouettes"] = "on the person", "centered"
    steps = config.epochs * (len(source) // config.batch_size)
    schedule = optax.cosine_decay_schedule(config.learning_rate, max(steps, 1))
    fitted = train.fit(
        model,
        source,
        test=test,
        task=task,
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
        epochs=config.epochs,
        batch_size=config.batch_size,
        prepare=per_example(changes) if config.dataset != "motion" else None,
        seed=config.seed,
        settings=settings,
        settings_before=before,
        summarize=lambda fitted: score_videos(model, fitted.variables, test, task=task).summary(),
        workdir=config.workdir,
        options=config,
    )
    return fitted.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
