"""The comparison of networks: resumable measurements, ratios, lines, pictures."""

import dataclasses
import json

import pytest

from experiments.networks import compare_models
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import list_models, model_info
from jaxnets.study.networks import read_records, torchvision_peer, workloads


def test_goes_on_where_it_was(tmp_path, monkeypatch):
    calls = []

    def prepare(name, mode, batch_size, dtype):
        calls.append((name, mode, batch_size))
        return lambda: None, {
            "compile_seconds": 1.0,
            "memory_bytes": 2**20 * (5 + batch_size),
            "temporary_bytes": 1,
        }

    monkeypatch.setattr(workloads, "prepare_workload", prepare)
    config = dataclasses.replace(
        compare_models.smoke(),
        batch_sizes=(1, 2, 4),
        table=("resnet18", "resnet20"),
        # Rounds of nothing lie far apart.
        max_spread=None,
        workdir=tmp_path,
    )
    stopped = compare_models.main(dataclasses.replace(config, max_minutes=-1.0))
    assert stopped["not_yet_measured"] == 12 and calls == []
    summary = compare_models.main(config)
    assert summary["not_yet_measured"] == 0 and len(calls) == len(set(calls)) == 12
    # A kill in the middle of a line costs that measurement and no other.
    path = tmp_path / "measurements.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    compare_models.main(config)
    assert len(calls) == 13 and calls[-1] == calls[-2]
    compare_models.main(config)
    assert len(calls) == 13 and len(read_records(path)) == 12
    # Another dtype is another measurement.
    compare_models.main(dataclasses.replace(config, dtype="bfloat16", models=("mlp",)))
    assert len(calls) == 19
    for name in ("bubbles", "density", "time", "memory"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    fits = {(fit["model"], fit["mode"]): fit for fit in summary["memory_fits"]}
    assert len(fits) == 4
    for fit in fits.values():
        assert fit["bytes_fixed"] == pytest.approx(5 * 2**20)
        assert fit["bytes_per_image"] == pytest.approx(2**20) and fit["worst"] < 1e-12
    assert "resnet20" in (tmp_path / "models.md").read_text()
    assert json.loads((tmp_path / "summary.json").read_text())["hardware"] == summary["hardware"]


def test_unsteady_ratios_are_refused_unless_asked_for():
    assert compare_models.Config().max_spread == 0.2


def test_representative_networks_have_a_peer():
    names = compare_models.REPRESENTATIVE
    assert len(set(names)) == 12
    for name in names:
        assert torchvision_peer.peer_name(name)
    assert torchvision_peer.peer_name("zfnet") is None
    assert torchvision_peer.peer_name("googlenet_bn") == "googlenet"


def test_mistakes_are_named(tmp_path):
    smoke = dataclasses.replace(compare_models.smoke(), workdir=tmp_path)
    with pytest.raises(UnknownNameError, match="resnet50"):
        compare_models.main(dataclasses.replace(smoke, models=("resnet5o",)))
    with pytest.raises(JaxnetsError, match="batch-sizes"):
        compare_models.main(dataclasses.replace(smoke, batch_sizes=(0,)))
    with pytest.raises(JaxnetsError, match="rounds"):
        compare_models.main(dataclasses.replace(smoke, rounds=0))
    with pytest.raises(JaxnetsError, match="seconds"):
        compare_models.main(dataclasses.replace(smoke, seconds=0.0))
    assert set(compare_models._names(("all",))) == set(list_models(task="classification"))


def test_libraries_take_turns(tmp_path, monkeypatch):
    """Ours, theirs, ours, theirs: a pair is measured together, and again if one is missing."""
    order = []

    def ours(name, mode, batch_size, dtype):
        return lambda: order.append("ours"), {"compile_seconds": 1.0, "memory_bytes": None}

    def theirs(name, mode, batch_size, dtype):
        return lambda: order.append("theirs"), model_info(name).parameters

    monkeypatch.setattr(workloads, "prepare_workload", ours)
    monkeypatch.setattr(torchvision_peer, "prepare_peer", theirs)
    monkeypatch.setattr(torchvision_peer, "available", lambda: True)
    config = dataclasses.replace(
        compare_models.smoke(),
        models=("resnet18",),
        table=("lenet5",),
        modes=("inference",),
        batch_sizes=(2,),
        peer=True,
        max_spread=None,
        seconds=1e-9,
        workdir=tmp_path,
    )
    summary = compare_models.main(config)
    # A first call of each, then at least three rounds.
    assert order[:2] == ["ours", "theirs"] and len(order) >= 8
    assert order == ["ours", "theirs"] * (len(order) // 2)
    assert len(summary["ratios"]["pairs"]) == 1
    path = tmp_path / "measurements.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    order.clear()
    compare_models.main(config)
    assert set(order) == {"ours", "theirs"} and len(read_records(path)) == 2
    monkeypatch.setattr(torchvision_peer, "prepare_peer", lambda *_: (lambda: None, 7))
    with pytest.raises(JaxnetsError, match="their numbers of parameters differ"):
        compare_models.main(dataclasses.replace(config, batch_sizes=(3,)))
