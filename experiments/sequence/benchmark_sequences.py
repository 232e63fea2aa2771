"""Recurrent layers and attention beside PyTorch: by turns, forward and training.

Command:  python -m experiments.sequence.benchmark_sequences --peer-python /path/to/python
Time:     about two minutes on two CPU cores, which must be idle.
Result:   a table and summary.json: medians of seconds and their ratio to PyTorch's, for an LSTM of
          2×512 (batch 64, 30 steps) and for attention of 16×8×128×64 and 4×8×512×64. Without a
          Python that has torch it measures jaxnets alone.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import jax
from tqdm import tqdm

from jaxnets import command, nn, ops
from jaxnets.study.programs import processor
from jaxnets.study.sequence_peer import Peer
from jaxnets.study.summaries import write_settings
from jaxnets.study.tables import markdown_table
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        lstm: (layers, units, batch, steps).
        attention: of each case (batch, heads, steps, features of a head).
        block_size: a further candidate, attention in blocks of this size; 0 for none.
        rounds: turns; the median counts.
        threads: that PyTorch may use.
        peer_python: a Python that has torch; None to measure jaxnets alone.
        workdir: where summary.json goes.
    """

    lstm: tuple[int, int, int, int] = (2, 512, 64, 30)
    attention: tuple[tuple[int, int, int, int], ...] = ((16, 8, 128, 64), (4, 8, 512, 64))
    block_size: int = 0
    rounds: int = 15
    threads: int = 2
    peer_python: str | None = None
    workdir: Path = Path("runs/benchmark_sequences")


def smoke() -> Config:
    """Tiny, one round, without PyTorch."""
    return Config(lstm=(1, 4, 2, 3), attention=((1, 1, 4, 2),), block_size=2, rounds=1)


def cases(config: Config) -> list[dict]:
    """What is timed, in the words that the peer understands."""
    layers, units, batch, steps = config.lstm
    lstm = {"kind": "lstm", "layers": layers, "units": units, "batch": batch, "time": steps}
    names = ("batch", "heads", "time", "features")
    attention = [
        {"kind": "attention", **dict(zip(names, a, strict=True))} for a in config.attention
    ]
    return [{**case, "train": train} for case in (lstm, *attention) for train in (False, True)]


def ours(case: dict, block_size: int | None = None):
    """The compiled work of a case, and its arguments."""
    key = jax.random.key(0)
    if case["kind"] == "attention":
        shape = (3, *(case[n] for n in ("batch", "heads", "time", "features")))
        arguments = tuple(jax.random.normal(key, shape))

        def forward(q, k, v):
            return ops.attend(q, k, v, block_size=block_size)[0]

        def total(q, k, v):
            return forward(q, k, v).sum()

        work = jax.grad(total, (0, 1, 2)) if case["train"] else forward
        return jax.jit(work), arguments
    layer = nn.Recurrent(case["units"], layers=case["layers"])
    x = jax.random.normal(key, (case["batch"], case["time"], case["units"]))
    variables = jax.jit(layer.init)(key, x)

    def loss(variables, x):
        return layer.apply(variables, x)[0].sum()

    work = jax.grad(loss) if case["train"] else lambda v, x: layer.apply(v, x)[0]
    return jax.jit(work), (variables, x)


def measure(case: dict, config: Config, peer: Peer | None) -> dict[str, list[float]]:
    """Seconds of each round, by candidate; in every round each has its turn."""
    candidates = {"jaxnets": ours(case)}
    if config.block_size and case["kind"] == "attention":
        candidates["jaxnets, blocks"] = ours(case, config.block_size)
    compiled = {name: (work.lower(*a).compile(), a) for name, (work, a) in candidates.items()}
    seconds: dict[str, list[float]] = {name: [] for name in compiled}
    for number in range(config.rounds + 1):
        for name, (work, arguments) in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(work(*arguments))
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
        if peer is not None:
            elapsed = peer(case)
            if number:
                seconds.setdefault("torch", []).append(elapsed)
    return seconds


def main(config: Config) -> dict:
    """Measure every case; prints a table and returns the rows."""
    write_settings(config)
    peer = Peer(config.peer_python, config.threads) if config.peer_python else None
    rows = []
    for case in tqdm(cases(config), desc="cases"):
        seconds = measure(case, config, peer)
        medians = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
        least = {name: 1e3 * min(values) for name, values in seconds.items()}
        row = {"case": case, "median_ms": medians, "least_ms": least}
        if "torch" in medians:
            row["ratio"] = {name: medians[name] / medians["torch"] for name in medians}
        rows.append(row)
    if peer is not None:
        peer.close()
    result = {"processor": processor(), "rows": rows, "torch": peer.version if peer else None}
    table = [
        (
            "×".join(str(v) for k, v in row["case"].items() if k not in ("kind", "train")),
            row["case"]["kind"] + (", training" if row["case"]["train"] else ", forward"),
            name,
            f"{ms:.1f}",
            f"{row['ratio'][name]:.2f}" if "ratio" in row else "–",
        )
        for row in rows
        for name, ms in row["median_ms"].items()
    ]
    print(markdown_table(("sizes", "work", "library", "ms", "÷ torch"), table))
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
