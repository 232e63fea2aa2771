"""Merged statistics are the same function; halved vectors are close, and read back whole."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.compress import (
    CompressionRecipe,
    Subject,
    deep_compress,
    halve_vectors,
    merge_statistics,
    normalization_epsilons,
    read_compressed,
    write_compressed,
)
from jaxnets.data import load_dataset, stratified_subset
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.tasks import classification


def resnet(seed=0):
    """A small ResNet whose normalizations are nothing special."""
    model = create_model("resnet20", blocks=1, widths=(4, 8, 8), num_classes=5)
    x = jax.random.normal(jax.random.key(seed), (3, 8, 8, 3))
    variables = model.init(jax.random.key(1), x)
    random = np.random.default_rng(seed)
    changed = jax.tree.map(
        lambda v: jnp.asarray(random.uniform(0.3, 2, v.shape), v.dtype) if v.ndim == 1 else v,
        variables,
    )
    return model, changed, x


def test_statistics_are_merged_into_the_same_function():
    model, variables, x = resnet()
    epsilons = normalization_epsilons(lambda v: model.apply(v, x), variables)
    assert set(epsilons.values()) == {1e-5}
    assert len(jax.tree.leaves(variables["batch_stats"])) == 2 * len(epsilons)
    merged = merge_statistics(variables, epsilons)
    for path, leaf in jax.tree_util.tree_leaves_with_path(merged["batch_stats"]):
        assert (leaf == (1 if path[-1].key == "var" else 0)).all()
    want = model.apply(variables, x)
    np.testing.assert_allclose(model.apply(merged, x), want, rtol=2e-5, atol=2e-5)
    shapes = jax.tree.map(np.shape, variables)
    assert shapes == jax.tree.map(np.shape, merged)


def test_other_epsilons_are_kept():
    merged = merge_statistics(
        {
            "params": {"bn": {"scale": np.float64([3.0]), "bias": np.float64([1.0])}},
            "batch_stats": {"bn": {"mean": np.float64([2.0]), "var": np.float64([8.0])}},
        },
        {"bn": 1.0},
    )
    scale, bias = (merged["params"]["bn"][name][0] for name in ("scale", "bias"))
    x = 5.0
    want = 3 * (x - 2) / np.sqrt(8 + 1) + 1
    assert scale * x / np.sqrt(1 + 1.0) + bias == pytest.approx(want, rel=1e-12)


def test_halved_vectors_are_read_in_the_dtype_of_the_network(tmp_path):
    model, variables, x = resnet()
    halved = halve_vectors(variables)
    kinds = {(np.ndim(leaf) <= 1, str(leaf.dtype)) for leaf in jax.tree.leaves(halved)}
    assert kinds == {(True, "float16"), (False, "float32")}
    small = write_compressed(tmp_path / "half.jxnc", halved)
    assert small < write_compressed(tmp_path / "whole.jxnc", variables)
    read = read_compressed(tmp_path / "half.jxnc", like=variables).variables
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(read)} == {"float32"}
    np.testing.assert_allclose(model.apply(read, x), model.apply(variables, x), atol=0.02)
    plain = read_compressed(tmp_path / "half.jxnc").variables
    assert plain["params"]["stem"]["bn"]["scale"].dtype == np.float16


def test_values_that_float16_does_not_have_stay():
    variables = {"params": {"a": np.float32([7e4]), "b": np.float32([1e-9]), "c": np.int32([3])}}
    dtypes = {name: str(v.dtype) for name, v in halve_vectors(variables)["params"].items()}
    assert dtypes == {"a": "float32", "b": "float16", "c": "int32"}


def test_a_network_is_compressed_with_itself_as_teacher(tmp_path):
    data = load_dataset("digits")
    data = data._replace(train=stratified_subset(data.train, 100))
    model = create_model("resnet20", blocks=1, widths=(4, 4, 4), num_classes=10)
    scale = lambda images: images / 8 - 1  # noqa: E731
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    task = classification(10, preprocess=scale)
    subject = Subject(model, jax.device_get(variables), data, task, scale)
    recipe = CompressionRecipe(
        sparsity=0.5, bits=3, prune_epochs=1, share_epochs=1, batch_size=50, teacher_weight=0.5
    )
    few = stratified_subset(data.test, 50)
    arguments = model, subject.variables, data.train, few
    with pytest.raises(JaxnetsError, match="training_task"):
        deep_compress(*arguments, task=task, recipe=recipe, workdir=tmp_path)
    found = deep_compress(
        *arguments,
        task=task,
        training_task=subject.training_task(0.5),
        recipe=recipe,
        workdir=tmp_path,
        say=lambda line: None,
    )
    with pytest.raises(JaxnetsError, match="teacher_weight"):
        other = dataclasses.replace(recipe, teacher_weight=0.0)
        deep_compress(*arguments, task=task, recipe=other, workdir=tmp_path, say=lambda line: None)
    lines = (tmp_path / "pruned" / "metrics.jsonl").read_text()
    assert "soft_targets" in lines
    statistics = found.variables["batch_stats"]["stem"]["bn"]
    assert (statistics["mean"] == 0).all() and (statistics["var"] == 1).all()
    assert found.variables["params"]["stem"]["bn"]["scale"].dtype == np.float32


def test_a_share_is_between_none_and_all():
    subject = Subject(None, {}, None, "task")
    assert subject.training_task(0) == "task"
    with pytest.raises(JaxnetsError, match="0 … 1"):
        subject.training_task(1.5)


def test_runs_from_before_there_were_teachers_go_on(tmp_path):
    data = load_dataset("digits")
    train, few = stratified_subset(data.train, 50), stratified_subset(data.test, 50)
    model = create_model("mlp", hidden=(4,), num_classes=10)
    variables = jax.device_get(model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1))))
    recipe = CompressionRecipe(sparsity=0.5, bits=2, prune_epochs=1, share_epochs=1, batch_size=50)

    def run():
        return deep_compress(
            *(model, variables, train, few),
            task=classification(10, preprocess=lambda images: images / 8 - 1),
            recipe=recipe,
            workdir=tmp_path,
            say=lambda line: None,
        )

    first = run()
    for stage in ("pruned", "fine-tuned"):
        path = tmp_path / stage / "config.json"
        config = json.loads(path.read_text())
        assert config.pop("teacher_weight") == 0.0
        path.write_text(json.dumps(config))
    assert run().stages == first.stages
