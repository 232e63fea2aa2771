"""All families of video networks on one suite that needs appearance, motion, or both.

Command:  python -m experiments.video.recap
          python -m experiments.video.recap --families single_frame c3d --steps 300
Time:     about a minute for each family on two CPU cores.
Result:   recap.md, recap.png and summary.json: accuracy on fresh clips for the direction of motion
          (chance 25 %), the appearance (50 %) and both (12.5 %), parameters, multiply-accumulates
          and clips a second; see docs/results.md.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax

from jaxnets import command, train
from jaxnets.data.video import motion_suite
from jaxnets.errors import UnknownNameError
from jaxnets.models import count_parameters
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.summaries import write_settings
from jaxnets.study.tables import markdown_table
from jaxnets.study.timing import time_calls
from jaxnets.study.video_families import VIDEO_FAMILIES, family_inputs, family_macs
from jaxnets.tasks import separate_streams, video_classification
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to compare.

    Attributes:
        families: names of `jaxnets.study.video_families.VIDEO_FAMILIES`; none: all.
        frames, size: of the clips.
        examples: clips that are trained on.
        test_examples: fresh clips that measure it.
        batch_size: clips a step.
        steps: of training, by Adam.
        learning_rate: at the start; falls to 0 by a cosine.
        seed: of clips and weights.
        workdir: where the results go.
    """

    families: tuple[str, ...] = ()
    frames: int = 8
    size: int = 16
    examples: int = 4000
    test_examples: int = 1000
    batch_size: int = 32
    steps: int = 300
    learning_rate: float = 3e-3
    seed: int = 0
    workdir: Path = Path("runs/recap")


def smoke() -> Config:
    """Two families, a few steps."""
    families = ("single_frame", "slow_fusion")
    return Config(families, frames=8, examples=16, test_examples=16, batch_size=8, steps=2)


def measure(name: str, config: Config, clips: dict, test: dict) -> dict:
    """Train one family to tell direction and appearance together; how right it is at each."""
    family = VIDEO_FAMILIES[name]
    model = family.build(8, config.frames, config.size)
    task = video_classification(8)._replace(inputs=lambda b: family_inputs(family, b["clip"]))
    task = task if family.flow is None else separate_streams(task)
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    rng = np.random.default_rng(config.seed)

    def batch() -> dict:
        rows = rng.integers(len(clips["clip"]), size=config.batch_size)
        return {"clip": clips["clip"][rows], "label": clips["both"][rows]}

    key = jax.random.key(config.seed)
    state = train.create_state(model, optimizer, batch(), key, task=task)
    step = jax.jit(partial(train.train_step, task=task), donate_argnums=0)
    for number in range(config.steps):
        state, metrics = step(state, batch())
        if number % 2:
            jax.block_until_ready(metrics)
    infer = jax.jit(lambda v, clip: model.apply(v, **family_inputs(family, clip)))
    parts = np.array_split(test["clip"], max(1, len(test["clip"]) // 100))
    said = np.concatenate([np.asarray(infer(state.variables, p)).argmax(-1) for p in parts])
    (timing,) = time_calls({name: lambda: infer(state.variables, parts[0])}).values()
    return {
        "direction": float((said // 2 == test["direction"]).mean()),
        "appearance": float((said % 2 == test["appearance"]).mean()),
        "both": float((said == test["both"]).mean()),
        "parameters": count_parameters(state.variables),
        "macs": family_macs(family, model, state.variables, test["clip"][:1]),
        "clips_per_second": len(parts[0]) / timing.median,
    }


def main(config: Config) -> dict:
    """Train and measure each family; writes a table and a figure, returns the numbers."""
    write_settings(config)
    names = config.families or tuple(VIDEO_FAMILIES)
    for name in names:
        if name not in VIDEO_FAMILIES:
            raise UnknownNameError("family", name, VIDEO_FAMILIES)
    rng = np.random.default_rng(config.seed)
    make = partial(motion_suite, rng, frames=config.frames, size=config.size)
    clips, test = make(config.examples), make(config.test_examples)
    result = {}
    for name in names:
        result[name] = found = measure(name, config, clips, test)
        shares = ", ".join(f"{k} {found[k]:.1%}" for k in ("direction", "appearance", "both"))
        print(f"{VIDEO_FAMILIES[name].title}: {shares}", flush=True)
    write_json(config.workdir / "summary.json", result)
    header = ("family", "direction", "appearance", "both", "parameters", "MMAC", "clips/s")
    rows = [
        (
            VIDEO_FAMILIES[name].title,
            *(f"{100 * f[k]:.1f} %" for k in ("direction", "appearance", "both")),
            f"{f['parameters']:,}",
            f"{f['macs'] / 1e6:.1f}",
            f"{f['clips_per_second']:.0f}",
        )
        for name, f in result.items()
    ]
    table = markdown_table(header, rows, align=("left", *("right",) * 6))
    (config.workdir / "recap.md").write_text(table)
    draw(result, config.workdir / "recap.png")
    return result


def draw(result: dict, path: Path) -> None:
    """Accuracy at direction and at appearance, family by family."""
    figure, (ax,) = new_figure()
    places = np.arange(len(result))
    for i, (kind, chance) in enumerate((("direction", 25), ("appearance", 50))):
        values = [100 * f[kind] for f in result.values()]
        ax.barh(places + 0.4 * i - 0.2, values, 0.38, label=f"{kind} (chance {chance} %)")
    ax.set_yticks(places, [VIDEO_FAMILIES[name].title for name in result])
    ax.invert_yaxis()
    ax.set(xlabel="accuracy on fresh clips, %", xlim=(0, 100))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize="small")
    save_figure(figure, path)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
