"""Three ways to process a sequence: a recurrent state, convolutions, self-attention; their costs.

Command:  python -m experiments.sequence.three_ways
Time:     about two minutes on two CPU cores, which should be idle.
Result:   three_ways.png, a table and summary.json. Operations between the last step and the first,
          seen by the Jacobian: N for an LSTM, (N − 1) / 4 for windows of five steps, log₅ N where
          their dilation grows, 1 for attention. Products that must wait for each other: N, 1,
          log₅ N, 4. Memory of training grows like N, that of attention like N², unless it is
          evaluated in blocks; so does the time, of few cores.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from jaxnets import command
from jaxnets.inspect import path_length, sequential_products
from jaxnets.study import (
    COLORS,
    compile_ahead,
    growth_exponent,
    markdown_table,
    new_figure,
    processor,
    save_figure,
    time_calls,
)
from jaxnets.study.sequence_ways import WAYS, SequenceWay, states_of
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to compare.

    Attributes:
        lengths: steps of the sequences that are timed, N.
        path_lengths: steps of the sequences whose Jacobians are looked at.
        units: features of a step, and of every layer.
        batch: sequences at a time.
        kernel: steps of a convolution.
        rounds: in which every layer has its turn; medians count.
        seconds: of a turn, at least.
        seed: of weights and sequences.
        workdir: where the figure and summary.json go.
    """

    lengths: tuple[int, ...] = (256, 512, 1024, 2048)
    path_lengths: tuple[int, ...] = (8, 16, 32, 64)
    units: int = 64
    batch: int = 1
    kernel: int = 5
    rounds: int = 7
    seconds: float = 0.12
    seed: int = 0
    workdir: Path = Path("runs/three_ways")


def smoke() -> Config:
    """Short sequences, one round."""
    return Config(lengths=(8, 16), path_lengths=(4, 8), units=4, rounds=1, seconds=0.0)


def paths(way: str, config: Config) -> list[int]:
    """Operations between the last step and the first one, for each of the path lengths."""
    key, x_key = jax.random.split(jax.random.key(config.seed))
    found = []
    for length in config.path_lengths:
        x, few = jax.random.normal(x_key, (length, 4)), 2 + math.ceil(math.log2(length))
        windows = 1 + length // (config.kernel - 1)
        most = {"recurrent": length, "convolution": windows}.get(way, few)

        def states(x, most=most):
            return states_of(key, x, way, most, kernel=config.kernel)

        found.append(path_length(states, x))
    return found


def training(way: str, length: int, config: Config):
    """The gradient of one layer, compiled, its arguments, and its chain of products forward."""
    layer, key = SequenceWay(way, config.kernel), jax.random.key(config.seed)
    x = jax.random.normal(key, (config.batch, length, config.units))
    variables = jax.jit(layer.init)(key, x)
    compiled = compile_ahead(jax.grad(lambda v, x: layer.apply(v, x).sum(), (0, 1)), variables, x)
    return compiled, (variables, x), sequential_products(layer.apply, variables, x)


def draw(results: dict, config: Config) -> None:
    """Paths, memory and time over the length."""
    figure, panels = new_figure(3)
    lengths = {"paths": config.path_lengths, "megabytes": config.lengths, "ms": config.lengths}
    titles = ("operations between last and first step", "memory of training [MB]", "time [ms]")
    for ax, (measure, sizes), title in zip(panels, lengths.items(), titles, strict=True):
        for color, (way, found) in zip(COLORS, results.items(), strict=False):
            line = "o--" if "blocks" in way else "o-"
            ax.plot(sizes, found[measure], line, ms=4, color=color, label=way)
        ax.set(xscale="log", yscale="log", xlabel="steps N", title=title)
        ax.set_xticks(sizes, map(str, sizes))
        ax.minorticks_off()
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    save_figure(figure, config.workdir / "three_ways.png")


def main(config: Config) -> dict:
    """Measure each way at each length; draws and prints it and returns the numbers."""
    write_settings(config)
    made = {(w, n): training(w, n, config) for w in WAYS for n in config.lengths}
    calls = {
        f"{way} {length}": lambda work=work, arguments=arguments: work.program(*arguments)
        for (way, length), (work, arguments, _) in made.items()
    }
    times = time_calls(calls, rounds=config.rounds, block_seconds=config.seconds, max_spread=0.2)
    results: dict = {}
    for way in WAYS:
        own = [made[way, n] for n in config.lengths]
        found: dict = {
            "paths": paths(way, config),
            "products": [chain for _, _, chain in own],
            "megabytes": [(work.temporary_bytes or 0) / 1e6 for work, _, _ in own],
            "ms": [times[f"{way} {n}"].milliseconds for n in config.lengths],
            "spread": [times[f"{way} {n}"].spread for n in config.lengths],
        }
        for name in ("megabytes", "ms"):
            positive = np.maximum(found[name], 1e-9)
            found[f"{name}_exponent"] = growth_exponent(config.lengths, positive)
        results[way] = found
    longest = config.lengths[-1]
    header = (
        "way", f"path, N = {config.path_lengths[-1]}", f"products in a row, N = {longest}",
        "memory ∝ N^", "time ∝ N^", f"ms, N = {longest}",
    )  # fmt: skip
    rows = [
        (way, found["paths"][-1], found["products"][-1], found["megabytes_exponent"],
         found["ms_exponent"], found["ms"][-1])
        for way, found in results.items()
    ]  # fmt: skip
    print(markdown_table(header, rows))
    draw(results, config)
    result = {"processor": processor(), "lengths": config.lengths, "ways": results}
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
