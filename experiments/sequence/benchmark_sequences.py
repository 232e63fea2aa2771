"""Recurrent layers, attention and a translator beside PyTorch: by turns, forward and training.

Command:  python -m experiments.sequence.benchmark_sequences --peer-python /path/to/python
Time:     about five minutes on two CPU cores, which must be idle.
Result:   a table and summary.json: medians of milliseconds, their spread and their ratio to
          PyTorch's, for an LSTM of 2×512 (batch 64, 30 steps), for attention of 16×8×128×64 and
          4×8×512×64, in float32 and, where the processor has it, bfloat16; for RNNsearch the tokens
          a second of training and of a search with five beams. Without a Python that has torch it
          measures jaxnets alone.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from jaxnets import command
from jaxnets.ops.convolution.onednn_support import instruction_set
from jaxnets.study.programs import processor
from jaxnets.study.sequence_peer import Peer
from jaxnets.study.summaries import write_settings
from jaxnets.study.tables import markdown_table
from jaxnets.study.timing import Timing, check_spread
from jaxnets.tasks.sequence_speed import sequence_work, time_by_turns
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        lstm: (layers, units, batch, steps).
        attention: of each case (batch, heads, steps, features of a head).
        translation: RNNsearch's (units, embedding, vocabulary, batch, tokens); () for none.
        beams: of its search.
        dtypes: of layers; None for float32, and bfloat16 where the processor multiplies it.
        block_size: a further candidate, attention in blocks of this size; 0 for none.
        rounds: turns; the median counts.
        pause: seconds between turns, in which the threads of the one before come to rest.
        threads: that PyTorch may use.
        peer_python: a Python that has torch; None to measure jaxnets alone.
        workdir: where summary.json goes.
    """

    lstm: tuple[int, int, int, int] = (2, 512, 64, 30)
    attention: tuple[tuple[int, int, int, int], ...] = ((16, 8, 128, 64), (4, 8, 512, 64))
    translation: tuple[int, ...] = (256, 128, 3000, 64, 20)
    beams: int = 5
    dtypes: tuple[str, ...] | None = None
    block_size: int = 0
    rounds: int = 15
    pause: float = 0.05
    threads: int = 2
    peer_python: str | None = None
    workdir: Path = Path("runs/benchmark_sequences")


def smoke() -> Config:
    """Tiny, one round, without PyTorch."""
    sizes = {"lstm": (1, 4, 2, 3), "attention": ((1, 1, 4, 2),), "translation": (4, 3, 9, 2, 3)}
    return Config(**sizes, beams=2, block_size=2, rounds=1, pause=0.0)


def cases(config: Config) -> list[dict]:
    """What is timed, in the words that the peer understands."""
    half = instruction_set() in ("amx", "avx512_bf16")
    dtypes = config.dtypes or (("float32", "bfloat16") if half else ("float32",))
    names = {
        "lstm": ("layers", "units", "batch", "time"),
        "attention": ("batch", "heads", "time", "features"),
        "translation": ("units", "embedding", "vocabulary", "batch", "time"),
    }
    layers = [("lstm", config.lstm), *(("attention", sizes) for sizes in config.attention)]
    found = [(*layer, dtype) for dtype in dtypes for layer in layers]
    if config.translation:
        found.append(("translation", config.translation, "float32"))
    return [
        {"kind": kind, "train": training, "dtype": dtype, "beams": config.beams}
        | dict(zip(names[kind], sizes, strict=True))
        for kind, sizes, dtype in found
        for training in (False, True)
    ]


def measure(case: dict, config: Config, peer: Peer | None) -> dict[str, Timing]:
    """Times of each candidate."""
    work = {"jaxnets": sequence_work(case)}
    if config.block_size and case["kind"] == "attention":
        work["jaxnets, blocks"] = sequence_work({**case, "block_size": config.block_size})
    beside = partial(peer, case) if peer is not None else None
    return time_by_turns(work, rounds=config.rounds, peer=beside, pause=config.pause)


def describe(case: dict) -> str:
    """A case in words."""
    hidden = ("kind", "train", "dtype", "beams")
    sizes = "×".join(str(value) for name, value in case.items() if name not in hidden)
    beams = case["kind"] == "translation" and not case["train"]
    doing = f"{case['beams']} beams" if beams else "training" if case["train"] else "forward"
    return f"{case['kind']} {sizes}, {case['dtype']}, {doing}"


def row_of(case: dict, name: str, times: dict[str, Timing]) -> dict:
    """What is reported of a candidate."""
    found = {"case": case, "library": name, **times[name].summary()}
    if case["kind"] == "translation":
        found["tokens_per_second"] = case["batch"] * case["time"] / found["seconds"]
    if "torch" in times:
        found["ratio"] = found["seconds"] / times["torch"].median
    return found


def main(config: Config) -> dict:
    """Measure every case; prints a table and returns the rows."""
    write_settings(config)
    peer = Peer(config.peer_python, config.threads) if config.peer_python else None
    rows = []
    for case in tqdm(cases(config), desc="cases"):
        times = measure(case, config, peer)
        check_spread(times, 0.2)
        rows += [row_of(case, name, times) for name in times]
    if peer is not None:
        peer.close()
    table = [
        (describe(r["case"]), r["library"], 1e3 * r["seconds"], f"{r['spread']:.0%}",
         r.get("tokens_per_second"), r.get("ratio"))
        for r in rows
    ]  # fmt: skip
    header = ("work", "library", "ms", "half the rounds within", "tokens/s", "÷ torch")
    print(markdown_table(header, table))
    result = {"processor": processor(), "rows": rows, "torch": peer.version if peer else None}
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
