"""Find where in a sequence each action begins and ends: TAL-Net on features of videos.

Command:  python -m experiments.video.localize
          python -m experiments.video.localize --without motion --workdir runs/one_stream
          python -m experiments.video.localize --dataset activitynet:FILE.json \\
              --features FOLDER --workdir runs/activities
          python -m experiments.video.localize --input FILE.npy --duration 61.5
Time:     a minute and a half on two CPU cores.
Result:   summary.json: mAP at a temporal IoU of .5 (on generated events 99 %, 52 % --without one
          of the streams), and the mean over .5, .55, …, .95.

FOLDER holds ID.npy (T, C); --input lists the actions of another video by the run in --workdir.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import optax

from jaxnets import command, train
from jaxnets.data.video import read_features, stretch
from jaxnets.models.video import TALNet, tal_detections
from jaxnets.study.event_sets import read_sequences
from jaxnets.tasks import temporal_localization

# What a run that goes on must have had at its start, beside what `fit` keeps itself.
DECIDES = (
    *("dataset", "streams", "length", "scales", "width", "hidden", "proposals", "examples"),
    "without",
)


@dataclass(frozen=True)
class Config(train.RunOptions):
    """What to train on, and the network.

    Attributes:
        dataset: "events" (generated) or "activitynet:FILE".
        features: with ActivityNet, the folder of the features.
        input: features of a video (T, C) as .npy, looked at with the run that is in ``workdir``.
        duration: of that video, in seconds; without, times are steps of its features.
        min_score: of the actions that are listed.
        streams: channels of each stream of features.
        length, scales: steps of every sequence, and of the anchors, best multiples of 6 up to the
            longest action; for ActivityNet up to the length.
        width, hidden: channels of the towers, units of the classifier.
        proposals: of each sequence.
        examples: generated sequences; 200 more for the test.
        without: of generated events, the stream that is 0, a control.
        epochs, batch_size, learning_rate, seed: of training, by Adam; the rate falls to 0.
        workdir: where the run lives.
    """

    dataset: str = "events"
    features: Path | None = None
    input: Path | None = None
    duration: float | None = None
    min_score: float = 0.3
    streams: tuple[int, ...] = (8, 8)
    length: int = 96
    scales: tuple[int, ...] = (6, 12, 18, 24, 36)
    width: int = 32
    hidden: int = 64
    proposals: int = 40
    examples: int = 2000
    without: Literal["appearance", "motion"] | None = None
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 2e-3
    seed: int = 0
    workdir: Path = Path("runs/localize")


def smoke() -> Config:
    """A few sequences, one epoch."""
    small = {"examples": 16, "epochs": 1, "batch_size": 8, "width": 4, "hidden": 8}
    return Config(scales=(6, 24), proposals=8, **small)


def build(config: Config, classes: int) -> TALNet:
    """The network of this configuration."""
    return TALNet(
        classes,
        streams=config.streams,
        scales=config.scales,
        features=config.width,
        hidden=config.hidden,
        proposals=config.proposals,
        candidates=10 * config.proposals,
        dropout_rate=0.2,
    )


def look(config: Config) -> dict:
    """List the actions of one video by the run in ``workdir``."""
    names = train.reopen(config.workdir).meta["task"]["class_names"]
    found = train.reopen(config.workdir, build(config, len(names)))
    features = read_features(config.input, channels=sum(config.streams))
    outputs = found.apply_fn(found.variables, stretch(features, config.length)[None], train=False)
    actions = tal_detections(outputs, config.length, min_score=config.min_score)
    scale = (config.duration or len(features)) / config.length
    segments = scale * np.asarray(actions.boxes[0, :, ::2], float)
    labels, scores = np.asarray(actions.labels[0]), np.asarray(actions.scores[0], float)
    result = [
        {"segment": segments[i].tolist(), "label": names[labels[i]], "score": float(scores[i])}
        for i in np.flatnonzero(actions.mask[0])
    ]
    for action in result:
        print("{:8.2f} … {:8.2f}  {score:.2f}  {label}".format(*action["segment"], **action))
    return {"unit": "seconds" if config.duration else "steps", "results": result}


def main(config: Config) -> dict:
    """Train or go on and measure; or look at one video."""
    if config.input is not None:
        return look(config)
    source, test, names = read_sequences(
        config.dataset,
        streams=config.streams,
        length=config.length,
        features=config.features,
        examples=config.examples,
        seed=config.seed,
        without=config.without,
    )
    steps = max(config.epochs * (len(source) // config.batch_size), 1)
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    fitted = train.fit(
        build(config, len(names)),
        source,
        test=test,
        task=temporal_localization(names, length=config.length),
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        settings={key: getattr(config, key) for key in DECIDES},
        workdir=config.workdir,
        options=config,
    )
    return fitted.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
