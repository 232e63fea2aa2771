"""What a video network wants to see, in slow and in fast motion: clips that excite each class.

Command:  python -m experiments.video.visualize_motion
          python -m experiments.video.visualize_motion --family slow_fusion --slow 100 \\
              --workdir runs/slow_fusion
Time:     two minutes on two CPU cores, most of it training.
Result:   runs/visualize_motion/: motion.gif and motion.mp4, a column for each direction of motion,
          the upper row fast, the lower slow; frames.png, frames one under the other; summary.json:
          accuracy, and of each clip the score and the mean squared change along time.

A small network first learns in which direction a bright or dark patch moves.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import command, train
from jaxnets.data import ArraySource
from jaxnets.data.video import DIRECTIONS, motion_suite, write_video
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.interpret import clip_variation, visualize_motion
from jaxnets.study.video_families import VIDEO_FAMILIES, family_inputs
from jaxnets.tasks import video_classification
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """The network, and how smooth the clips are.

    Attributes:
        family: of `jaxnets.study.video_families.VIDEO_FAMILIES`, one that looks at clips alone.
        fast, slow: strengths of the penalty on changes along time, one for each row of pictures.
        space: of that on changes between neighboring pixels.
        steps: of the optimization of each clip.
        examples, epochs: generated clips that the network is trained on, passes over them.
        seed: of everything.
        workdir: where the pictures and the network go.
    """

    family: str = "c3d"
    fast: float = 0.0
    slow: float = 500.0
    space: float = 150.0
    steps: int = 200
    examples: int = 2000
    epochs: int = 3
    seed: int = 0
    workdir: Path = Path("runs/visualize_motion")


def smoke() -> Config:
    """A few clips, a few steps."""
    return Config(family="early_fusion", examples=32, epochs=1, steps=3)


def main(config: Config) -> dict:
    """Train, optimize a clip for each direction and strength, write the pictures."""
    if config.family not in VIDEO_FAMILIES:
        raise UnknownNameError("family", config.family, VIDEO_FAMILIES)
    family = VIDEO_FAMILIES[config.family]
    if family.flow is not None:
        raise JaxnetsError(f"--family: {config.family} takes flow beside the clip; take another")
    made = motion_suite(np.random.default_rng(config.seed), config.examples)
    source = ArraySource({"clip": made["clip"], "label": made["direction"]})
    shape = made["clip"].shape[1:]
    model = family.build(len(DIRECTIONS), *shape[:2])
    task = video_classification(len(DIRECTIONS))._replace(
        inputs=lambda batch: family_inputs(family, jnp.asarray(batch["clip"]))
    )
    decided = ("family", "examples")
    fitted = train.fit(
        model,
        source,
        test=source,
        task=task,
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3)),
        epochs=config.epochs,
        batch_size=32,
        seed=config.seed,
        settings={name: getattr(config, name) for name in decided},
        workdir=config.workdir / "network",
    )
    variables = train.reopen(config.workdir / "network", model).variables

    def logit(label, variables, x):
        logits = model.apply(variables, **family_inputs(family, 255 * x))[0]
        return logits[label] - logits.mean()

    clips, found = {}, {}
    for row in ("fast", "slow"):
        strengths = {"space": config.space, "time": getattr(config, row), "steps": config.steps}
        for label, direction in enumerate(DIRECTIONS):
            key = jax.random.key(config.seed)
            made_clip = visualize_motion(key, partial(logit, label), variables, shape, **strengths)
            clips[row, direction] = np.asarray(made_clip.clip)
            found[f"{row}, {direction}"] = {
                "score": float(made_clip.activations[-1]),
                "change": float(clip_variation(made_clip.clip)["time"]),
            }
            print(f"{row} {direction}: {found[f'{row}, {direction}']}", flush=True)
    film = _side_by_side(clips, shape)
    write_video(config.workdir / "motion.mp4", film, fps=6)
    _save_pictures(config.workdir, film)
    result = {"accuracy": fitted.summary["accuracy"], "clips": found}
    write_json(config.workdir / "summary.json", result)
    return result


def _side_by_side(clips: dict, shape: tuple[int, ...], scale: int = 6, gap: int = 4) -> np.ndarray:
    """(T, H, W, 3) uint8: rows of strengths, columns of directions, white between them."""
    pad = ((0, 0), (gap, gap), (gap, gap), (0, 0))
    rows = []
    for row in ("fast", "slow"):
        cells = [clips[row, direction] for direction in DIRECTIONS]
        cells = [np.kron(cell, np.ones((1, scale, scale, 1))) for cell in cells]
        rows.append(np.concatenate([np.pad(c, pad, constant_values=1) for c in cells], 2))
    film = np.concatenate(rows, 1)
    return np.rint(255 * np.broadcast_to(film, (*film.shape[:3], 3))).astype(np.uint8)


def _save_pictures(folder: Path, film: np.ndarray) -> None:
    """motion.gif, and every second frame in frames.png."""
    from PIL import Image

    frames = [Image.fromarray(frame) for frame in film]
    frames[0].save(
        folder / "motion.gif", save_all=True, append_images=frames[1:], duration=160, loop=0
    )
    Image.fromarray(np.concatenate(list(film[::2]), 0)).save(folder / "frames.png")


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
