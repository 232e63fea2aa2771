"""The comparison of networks: resumable measurements, ratios, lines, pictures."""

import dataclasses
import json
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import compare_models
from experiments.comparison import records, tables, timing, torch_peer
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import create_model, list_models, model_info


def test_goes_on_where_it_was(tmp_path, monkeypatch):
    calls = []

    def prepare(name, mode, batch_size, dtype):
        calls.append((name, mode, batch_size))
        return lambda: None, {
            "compile_seconds": 1.0,
            "memory_bytes": 2**20 * (5 + batch_size),
            "temporary_bytes": 1,
        }

    monkeypatch.setattr(timing, "prepare", prepare)
    config = dataclasses.replace(
        compare_models.smoke(),
        batch_sizes=(1, 2, 4),
        table=("resnet18", "resnet20"),
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
    assert len(calls) == 13 and len(records.read(path)) == 12
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


def test_static_rows_are_the_registry_s():
    rows = tables.static_rows(["lenet5", "vgg16", "resnet20"])
    for row in rows:
        info = model_info(row["model"])
        assert (row["parameters"], row["macs"]) == (info.parameters, info.macs)
    _, vgg, resnet = rows
    assert vgg["activations"] == 15_237_608
    assert (vgg["top1"], vgg["dataset"], vgg["source"]) == (71.592, "ImageNet", "torchvision")
    # 8.75 % error; per million of 0.269722 million parameters.
    assert (resnet["top1"], resnet["dataset"]) == (91.25, "CIFAR-10")
    assert resnet["density"] == pytest.approx(91.25 / 0.269722)


def test_ratios_pair_what_belongs_together():
    def record(library, model, mode, fastest, **more):
        base = {"batch_size": 8, "dtype": "float32", "hardware": "a", "seconds": 9.0}
        return {
            "library": library,
            "model": model,
            "mode": mode,
            "fastest": fastest,
            **base,
            **more,
        }

    measured = [
        record("jaxnets", "vgg16", "inference", 2.0),
        record("torchvision", "vgg16", "inference", 1.0),
        record("jaxnets", "resnet18", "inference", 1.0),
        record("torchvision", "resnet18", "inference", 8.0),
        record("jaxnets", "resnet18", "training", 1.0),
        # Elsewhere, and of another size: no pairs.
        record("torchvision", "resnet18", "training", 3.0, hardware="b"),
        record("torchvision", "resnet18", "training", 3.0, batch_size=4),
    ]
    ratios = tables.peer_ratios(measured)
    assert {(p["model"], p["ratio"]) for p in ratios["pairs"]} == {("vgg16", 0.5), ("resnet18", 8)}
    mean, count = ratios["geometric_means"]["inference"]
    assert (mean, count) == (pytest.approx(math.sqrt(0.5 * 8)), 2)
    assert "training" not in ratios["geometric_means"]
    table = tables.ratio_table(ratios)
    assert "| vgg16 | 8 | 4 | 8 | 0.50 |" in table and "**2.00** (2)" in table


def test_representative_networks_have_a_peer():
    names = compare_models.REPRESENTATIVE
    assert len(set(names)) == 12
    for name in names:
        assert torch_peer.peer_name(name)
    assert torch_peer.peer_name("zfnet") is None
    assert torch_peer.peer_name("googlenet_bn") == "googlenet"


def test_sampled_variables_fit_the_network():
    model, shape = create_model("resnet20"), (32, 32, 3)
    variables = timing.sampled_variables(model, shape)
    abstract = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, dict(abstract))
    kernel = variables["params"]["stage3_block1"]["conv1"]["kernel"]
    # He: variance 2 / (9·64); 36,864 draws leave 0.7 % of it open.
    assert float(kernel.var()) == pytest.approx(2 / 576, rel=0.04)
    assert float(variables["params"]["stage3_block1"]["bn1"]["scale"].min()) == 1
    assert {float(v.min()) for v in jax.tree.leaves(variables["batch_stats"])} == {0, 1}


def test_the_training_step_trains():
    model, shape = create_model("lenet5"), (32, 32, 1)
    variables = timing.sampled_variables(model, shape)
    before = jax.tree.map(np.asarray, variables["params"])
    step, tx = timing.training(model)
    params, state = variables.pop("params"), variables
    opt = tx.init(params)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(8, *shape)), jnp.float32)
    labels = jnp.arange(8)
    losses = []
    for _ in range(20):
        params, state, opt, loss = step(params, state, opt, images, labels)
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
    moved = jax.tree.map(lambda a, b: bool((a != np.asarray(b)).any()), before, params)
    assert all(jax.tree.leaves(moved))


def test_measured_memory_is_linear_in_the_batch():
    memory = [
        timing.prepare("lenet5", "inference", batch, "float32")[1]["memory_bytes"]
        for batch in (32, 64, 128)
    ]
    # Twice the step for twice the images; 5 % for what the compiler aligns or fuses otherwise.
    assert memory[2] - memory[1] == pytest.approx(2 * (memory[1] - memory[0]), rel=0.05)
    # At least the images themselves are in it.
    assert memory[1] - memory[0] >= 32 * 32 * 32 * 4


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
    assert set(compare_models._names(("all",))) == set(list_models())


def test_libraries_take_turns(tmp_path, monkeypatch):
    """Ours, theirs, ours, theirs: a pair is measured together, and again if one is missing."""
    order = []

    def ours(name, mode, batch_size, dtype):
        return lambda: order.append("ours"), {"compile_seconds": 1.0, "memory_bytes": None}

    def theirs(name, mode, batch_size):
        return lambda: order.append("theirs"), model_info(name).parameters

    monkeypatch.setattr(timing, "prepare", ours)
    monkeypatch.setattr(torch_peer, "prepare", theirs)
    monkeypatch.setattr(torch_peer, "available", lambda: True)
    config = dataclasses.replace(
        compare_models.smoke(),
        models=("resnet18",),
        table=("lenet5",),
        modes=("inference",),
        batch_sizes=(2,),
        peer=True,
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
    assert set(order) == {"ours", "theirs"} and len(records.read(path)) == 2
    monkeypatch.setattr(torch_peer, "prepare", lambda *_: (lambda: None, 7))
    with pytest.raises(JaxnetsError, match="their numbers of parameters differ"):
        compare_models.main(dataclasses.replace(config, batch_sizes=(3,)))


def test_blocks_on_a_busy_machine_do_not_count(monkeypatch):
    """A clock of our own: the call takes 1 s, and others use both cores in every second block."""
    clock = {"now": 0.0, "busy": 0.0, "calls": 0}

    def call():
        clock["calls"] += 1
        clock["now"] += 1.0 if clock["calls"] % 2 else 3.0
        clock["busy"] += 0.0 if clock["calls"] % 2 else 3.0 * os.cpu_count()

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(timing.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(timing, "_busy_seconds", lambda: clock["busy"])
    blocks = timing.time_calls({"ours": call}, seconds=2.0)["ours"]
    # The call before them took the first second; then bad and good ones take turns.
    assert [block["others"] for block in blocks[:4]] == [1, 0, 1, 0]
    kept = timing.summary(blocks)
    assert kept["seconds"] == 1.0 and kept["others"] == 0 and kept["calls"] < len(blocks)
    busy = timing.summary([{"seconds": 2.0, "others": 0.6}, {"seconds": 4.0, "others": 0.8}])
    assert (busy["seconds"], busy["fastest"], busy["calls"]) == (3, 2, 2)
    assert busy["others"] == pytest.approx(0.7)
