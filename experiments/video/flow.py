"""Optical flow of a video: a film of it in colors beside the frames, and how well it explains them.

Command:  python -m experiments.video.flow VIDEO
          python -m experiments.video.flow
Time:     seconds; a second or two for each pair of frames of 240×320 on one CPU core.
Result:   flow.mp4 (frames, and flow with the direction as hue) and summary.json: the mean
          difference of neighboring frames in gray levels, before and after the flow is taken back;
          without a video the endpoint errors of the methods, which are to be below 0.1 pixels.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxnets import command
from jaxnets.data.video import read_video, write_video
from jaxnets.errors import JaxnetsError
from jaxnets.ops.flow import endpoint_error, flow_to_color, subtract_mean_flow, warp
from jaxnets.ops.flow.methods import METHODS
from jaxnets.study.summaries import write_settings
from jaxnets.study.video_textures import moved_textures
from jaxnets.train.run_directory import write_json

MOTIONS = ((1.0, 0.0), (3.5, -2.25), (8.0, 5.0))


@dataclass(frozen=True)
class Config:
    """Which video, and how.

    Attributes:
        video: a file; without one, textures with known motions.
        method: how flow is found.
        fps: frames a second that are looked at.
        short_side: pixels of the frames' shorter side.
        max_frames: look at so many at most.
        without_camera: take the mean off each field, as of a camera that moves.
        workdir: where the film and summary.json go.
    """

    video: tyro.conf.Positional[Path | None] = None
    method: Literal["horn_schunck", "lucas_kanade", "tv_l1"] = "tv_l1"
    fps: float | None = None
    short_side: int = 160
    max_frames: int = 60
    without_camera: bool = False
    workdir: Path = Path("runs/flow")


def smoke() -> Config:
    """Textures of known motion."""
    return Config()


def known_motions() -> dict[str, dict[str, float]]:
    """Mean endpoint error of each method for each motion, 12 pixels away from the borders."""
    found: dict[str, dict[str, float]] = {}
    for name, method in METHODS.items():
        found[name] = {}
        for motion in MOTIONS:
            first, second = moved_textures(motion)
            error = endpoint_error(method(first, second), jnp.array(motion))
            found[name][str(motion)] = float(error[12:-12, 12:-12].mean())
        print(name, {motion: round(error, 4) for motion, error in found[name].items()})
    return found


def main(config: Config) -> dict:
    """Find the flow, write the film, return the differences."""
    write_settings(config)
    if config.video is None:
        result: dict = {"endpoint_error": known_motions()}
        write_json(config.workdir / "summary.json", result)
        return result
    video = read_video(
        config.video, fps=config.fps, short_side=config.short_side, max_frames=config.max_frames
    )
    if len(video.frames) < 2:
        raise JaxnetsError(f"{config.video}: flow needs two frames, and there is one")

    @partial(jax.jit)
    def look(first, second):
        flow = METHODS[config.method](first, second)
        first, second = (x.astype(jnp.float32) for x in (first, second))
        before = jnp.abs(second - first).mean()
        after = jnp.abs(warp(second, flow) - first).mean()
        return subtract_mean_flow(flow) if config.without_camera else flow, before, after

    flows, before, after = zip(
        *(look(a, b) for a, b in zip(video.frames[:-1], video.frames[1:], strict=True)),
        strict=True,
    )
    speed = np.linalg.norm(np.stack(flows), axis=-1)
    # The largest speeds of all are those of faults.
    colors = flow_to_color(jnp.stack(flows), largest=float(np.quantile(speed, 0.99)) or 1.0)
    film = np.concatenate((video.frames[:-1], np.asarray(colors)), axis=2)
    path = write_video(config.workdir / "flow.mp4", film, fps=video.fps or 25)
    result = {
        "frames": len(video.frames),
        "difference_before": float(np.mean(before)),
        "difference_after": float(np.mean(after)),
        "mean_speed": float(speed.mean()),
        "film": str(path),
    }
    write_json(config.workdir / "summary.json", result)
    print(
        f"{len(flows)} pairs of frames: they differ by {result['difference_before']:.2f} gray "
        f"levels, {result['difference_after']:.2f} along the flow; {path}"
    )
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
