"""Where a network's time goes: by layer, and by kind of operation, forward and backward.

Command:  python -m experiments.networks.time_line resnet50
          python -m experiments.networks.time_line mobilenet_v2 --mode training
          python -m experiments.networks.time_line resnet50 --depth 3 --dtype bfloat16
Time:     half a minute, most of it compilation.
Result:   runs/time_line/NAME-MODE/: summary.json, layers.md and kinds.md (milliseconds and shares),
          time_line.png. The variable JAXNETS_ONEDNN=0 shows the same without oneDNN.

From JAX's profiler, by the names that Flax gives to layers. Operations that run side by side count
in full.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax

from jaxnets import command
from jaxnets.models import model_info
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.networks import time_line, workloads
from jaxnets.study.programs import processor
from jaxnets.study.summaries import write_settings
from jaxnets.study.tables import markdown_table
from jaxnets.study.timing import time_calls
from jaxnets.train.run_directory import write_json

DIRECTIONS = ("forward", "backward", "")


@dataclass(frozen=True)
class Config:
    """What to look at.

    Attributes:
        model: a name of `jaxnets.list_models()`.
        mode: "inference" or "training".
        batch_size: images, or clips.
        dtype: compute dtype.
        depth: so many of a layer's nested names tell layers apart.
        rounds: runs of the program; the median is the time on the clock.
        workdir: where the results go (default: runs/time_line/MODEL-MODE).
    """

    model: str = "resnet50"
    mode: Literal["inference", "training"] = "inference"
    batch_size: int = 8
    dtype: Literal["float32", "bfloat16"] = "float32"
    depth: int = 1
    rounds: int = 5
    workdir: Path | None = None


def smoke() -> Config:
    """A tiny network."""
    return Config("lenet5", "training", batch_size=2, rounds=1, workdir=Path("runs/smoke/time"))


def main(config: Config) -> dict:
    """Profile, print, draw; returns the tables."""
    model_info(config.model)  # An unknown name ends here.
    workdir = config.workdir or Path("runs/time_line") / f"{config.model}-{config.mode}"
    call, compiled = workloads.compile_workload(
        config.model, config.mode, config.batch_size, config.dtype
    )
    (timing,) = time_calls({config.model: call}, rounds=config.rounds).values()
    shares = time_line.profile(compiled.program, call)
    tables = {
        "layers": time_line.by(shares, depth=config.depth),
        "kinds": time_line.by(shares),
    }
    write_settings(config, workdir)
    total = sum(share.milliseconds for share in shares)
    title = f"{config.model}, {config.mode}, {config.batch_size} at a time, {processor()}"
    print(f"{title}: {timing.milliseconds:.1f} ms; operations {total:.1f} ms")
    for name, table in tables.items():
        rows = [
            (place or "(outside)", direction or "–", f"{ms:.2f}", f"{100 * ms / total:.1f} %")
            for (place, direction), ms in table.items()
        ]
        header = (name[:-1], "direction", "ms", "share")
        text = markdown_table(header, rows, align=("left", "left", "right", "right"))
        (workdir / f"{name}.md").write_text(text, encoding="utf-8")
        print(f"\n{text}" if name == "kinds" else "", end="")
    draw(tables["layers"], title, workdir / "time_line.png")
    summary = {
        "milliseconds": timing.milliseconds,
        "spread": timing.spread,
        "hardware": processor(),
        "jax": jax.__version__,
        **{
            name: [[*place, round(ms, 4)] for place, ms in table.items()]
            for name, table in tables.items()
        },
    }
    write_json(workdir / "summary.json", summary)
    return summary


def draw(table: dict[tuple[str, str], float], title: str, path: Path) -> None:
    """A bar a layer, forward and backward behind each other."""
    names = sorted({name for name, _ in table})
    figure, (ax,) = new_figure(height=1.2 + 0.3 * len(names))
    start = dict.fromkeys(names, 0.0)
    for direction in DIRECTIONS:
        values = [table.get((name, direction), 0.0) for name in names]
        if any(values):
            ax.barh(names, values, left=list(start.values()), label=direction or "outside")
        start = {name: start[name] + value for name, value in zip(names, values, strict=True)}
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds")
    ax.set_title(title, fontsize="medium")
    ax.legend(fontsize="small")
    save_figure(figure, path)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__, positional="model")
