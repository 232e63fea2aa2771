"""Rows, ratios and workloads of the comparison of networks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model, model_info
from jaxnets.study.networks import plan_measurements, runtime_peers, tables, workloads


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


def test_sampled_variables_fit_the_network():
    model, shape = create_model("resnet20"), (32, 32, 3)
    variables = workloads.sampled_variables(model, shape)
    abstract = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, dict(abstract))
    kernel = variables["params"]["stage3"]["block1"]["conv1"]["kernel"]
    # He: variance 2 / (9·64); 36,864 draws leave 0.7 % of it open.
    assert float(kernel.var()) == pytest.approx(2 / 576, rel=0.04)
    assert float(variables["params"]["stage3"]["block1"]["bn1"]["scale"].min()) == 1
    assert {float(v.min()) for v in jax.tree.leaves(variables["batch_stats"])} == {0, 1}


def test_the_training_step_trains():
    model, shape = create_model("lenet5"), (32, 32, 1)
    variables = workloads.sampled_variables(model, shape)
    before = jax.tree.map(np.asarray, variables["params"])
    step, tx = workloads.training_program(model)
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
        workloads.prepare_workload("lenet5", "inference", batch, "float32")[1]["memory_bytes"]
        for batch in (32, 64, 128)
    ]
    # Twice the step for twice the images; 5 % for what the compiler aligns or fuses otherwise.
    assert memory[2] - memory[1] == pytest.approx(2 * (memory[1] - memory[0]), rel=0.05)
    # At least the images themselves are in it.
    assert memory[1] - memory[0] >= 32 * 32 * 32 * 4


def test_lacking_runtimes_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_peers, "lacking", lambda dtype: ["onnx"])
    arguments = tmp_path / "m.jsonl", ["mlp"], ["inference"], [1], "float32"
    with pytest.warns(UserWarning, match="columns stay empty without onnx"):
        plan_measurements(*arguments, peer=False, runtimes=True)
