"""The benchmark of sequences beside a peer: what it reports, with nothing that computes."""

import dataclasses
import time

from experiments.sequence import benchmark_sequences as benchmark
from jaxnets.train.run_directory import read_json


class Peer:
    """Twice as slow as what is measured."""

    version = "none"

    def __init__(self, python, threads):
        self.closed = False

    def __call__(self, case):
        return 0.02

    def close(self):
        self.closed = True


def test_rows_hold_ratios_tokens_a_second_and_the_spread(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "Peer", Peer)
    monkeypatch.setattr(benchmark, "sequence_work", lambda case: lambda: time.sleep(0.01))
    monkeypatch.setattr(benchmark, "check_spread", lambda times, most: None)  # of a busy machine
    config = dataclasses.replace(
        benchmark.smoke(), peer_python="python", rounds=3, workdir=tmp_path, dtypes=("float32",)
    )
    result = benchmark.main(config)
    assert read_json(tmp_path / "summary.json")["torch"] == "none"
    libraries = [row["library"] for row in result["rows"]]
    # A layer and a translator twice, attention twice in blocks as well.
    assert libraries.count("torch") == 6 and libraries.count("jaxnets, blocks") == 2
    for row in result["rows"]:
        assert row["spread"] >= 0 and row["rounds"] == 3
        assert row["ratio"] == 1.0 if row["library"] == "torch" else row["ratio"] < 5
        translates = row["case"]["kind"] == "translation"
        assert ("tokens_per_second" in row) == translates
    found = [r for r in result["rows"] if "tokens_per_second" in r and r["library"] == "torch"]
    search = next(row for row in found if not row["case"]["train"])
    assert search["tokens_per_second"] == 2 * 3 / 0.02
    printed = capsys.readouterr().out
    assert "2 beams" in printed and "training" in printed and "÷ torch" in printed
