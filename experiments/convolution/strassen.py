"""Strassen's matrix product: counted multiplications, where it crosses over, how its error grows.

Command:  python -m experiments.convolution.strassen
Time:     about one minute on two CPU cores.
Result:   16×16 takes 2,401 multiplications instead of 4,096, and the count grows as n^2.807; time
          and error beside XLA's own product: strassen.png, summary.json (docs/results.md).
          One level wins from 2048 on (15 % faster there and at 4096); at 1024 three levels
          multiply the error by 5, far below Higham's bound.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxnets import command
from jaxnets.ops.convolution import strassen
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.summaries import write_settings
from jaxnets.study.timing import time_calls
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        sizes: sides of the matrices that are timed.
        levels: depths of the recursion that are timed and whose error is measured.
        error_size: side of the matrices for the error.
        rounds: turns of every candidate; the median counts.
        seed: of the random matrices.
        workdir: where summary.json and strassen.png go.
    """

    sizes: tuple[int, ...] = (512, 1024, 2048, 4096)
    levels: tuple[int, ...] = (0, 1, 2, 3)
    error_size: int = 1024
    rounds: int = 5
    seed: int = 0
    workdir: Path = Path("runs/strassen")


def smoke() -> Config:
    """Small matrices."""
    return Config(sizes=(64, 128), levels=(0, 1, 2), error_size=64, rounds=1)


def counts() -> dict:
    """Multiplications of n×n products run down to scalars, and the exponent that they follow."""
    sides = [2**i for i in range(1, 11)]
    multiplications = [strassen.multiplications(n, n, n, cutoff=1) for n in sides]
    exponent = np.polyfit(np.log2(sides), np.log2(multiplications), 1)[0]
    return {"sides": sides, "multiplications": multiplications, "exponent": float(exponent)}


def _pair(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.uniform(-1, 1, (size, size)) for _ in range(2))


def errors(config: Config) -> list[dict]:
    """Largest float32 error against float64, in units of n·ε·max|a|·max|b|, by level."""
    a, b = _pair(config.error_size, config.seed)
    a32, b32 = jnp.asarray(a, "float32"), jnp.asarray(b, "float32")
    exact = np.asarray(a32, np.float64) @ np.asarray(b32, np.float64)
    rows, epsilon = [], float(np.finfo("float32").eps)
    for level in config.levels:
        cutoff = max(1, config.error_size // 2**level)
        got = jax.jit(partial(strassen.matmul, cutoff=cutoff))(a32, b32)
        error = float(np.abs(np.asarray(got, np.float64) - exact).max())
        growth = error / (config.error_size * epsilon)
        bound = strassen.error_bound(config.error_size, level) * epsilon
        rows.append({"level": level, "error": error, "growth": growth, "bound": bound})
    return rows


def times(config: Config) -> list[dict]:
    """Median milliseconds by size and level; level 0 is XLA's own product."""
    rows = []
    for size in tqdm(config.sizes, desc="sizes"):
        a, b = (jnp.asarray(m, "float32") for m in _pair(size, config.seed))
        calls = {}
        for level in config.levels:
            product = jax.jit(partial(strassen.matmul, cutoff=max(1, size // 2**level)))
            calls[str(level)] = partial(product.lower(a, b).compile(), a, b)
        timings = time_calls(calls, rounds=config.rounds, patience_seconds=3.0)
        for level, timing in timings.items():
            rows.append({"size": size, "level": int(level), "ms": timing.milliseconds})
    return rows


def draw(results: dict, path: Path) -> None:
    """Multiplications, times relative to XLA's product, errors."""
    figure, (left, middle, right) = new_figure(3, width=4.3, height=4)
    sides = np.array(results["counts"]["sides"], float)
    left.loglog(sides, sides**3, "--", label="definition, n³")
    exponent = results["counts"]["exponent"]
    counted = results["counts"]["multiplications"]
    left.loglog(sides, counted, "o-", label=f"Strassen, n^{exponent:.3f}")
    left.set(xlabel="side n", ylabel="multiplications", title="Counted down to scalars")
    left.legend()
    plain = {r["size"]: r["ms"] for r in results["times"] if r["level"] == 0}
    for level in sorted({r["level"] for r in results["times"]} - {0}):
        rows = [r for r in results["times"] if r["level"] == level]
        ratios = [r["ms"] / plain[r["size"]] for r in rows]
        label = f"{level} levels" if level > 1 else "1 level"
        middle.plot([r["size"] for r in rows], ratios, "o-", label=label)
    middle.axhline(1, color="black", linewidth=0.8)
    middle.set_xscale("log", base=2)
    middle.set_xticks(list(plain), list(plain))
    middle.set(xlabel="side n", ylabel="time / XLA's product", title="Crossover")
    middle.legend()
    levels = [r["level"] for r in results["errors"]]
    right.semilogy(levels, [r["error"] for r in results["errors"]], "o-", label="measured")
    right.semilogy(levels, [r["bound"] for r in results["errors"]], "--", label="Higham's bound")
    right.set(xlabel="levels", ylabel="largest error, float32", title="Error", xticks=levels)
    right.legend()
    save_figure(figure, path, dpi=120)


def main(config: Config) -> dict:
    """Count, measure, draw; returns {"counts", "errors", "times"}."""
    if not config.sizes or 0 not in config.levels:
        raise ValueError("sizes must not be empty and levels must contain 0 (XLA's own product)")
    write_settings(config)
    results = {"counts": counts(), "errors": errors(config), "times": times(config)}
    sixteen = strassen.multiplications(16, 16, 16, cutoff=1)
    print(f"16x16: {sixteen} multiplications, definition {16**3}")
    print(f"exponent {results['counts']['exponent']:.4f}, log2(7) = {math.log2(7):.4f}")
    for row in results["errors"]:
        print("level {level}: error {error:.2e}, bound {bound:.2e}".format(**row))
    for row in results["times"]:
        print("{size:5} level {level}: {ms:9.2f} ms".format(**row))
    draw(results, config.workdir / "strassen.png")
    write_json(config.workdir / "summary.json", results)
    return results


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
