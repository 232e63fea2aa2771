"""The whole way on a tiny network, and what its report says."""

import numpy as np
import pytest

from jaxnets.compress import (
    Compressed,
    CompressionRecipe,
    LayerRow,
    Stage,
    deep_compress,
    density,
    encode_variables,
    layer_figure,
    layer_rows,
    layer_table,
    read_compressed,
)
from jaxnets.data import load_dataset, stratified_subset
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.tasks import classification


def scale(images):
    return images / 8 - 1


def test_from_a_network_to_a_file(tmp_path):
    data = load_dataset("digits")
    train = stratified_subset(data.train, 100)
    model = create_model("mlp", hidden=(16,), num_classes=10)
    random = np.random.default_rng(0)
    shapes = {"fc1": (64, 16), "classifier": (16, 10)}
    params = {
        name: {
            "kernel": random.standard_normal(shape).astype(np.float32) / 8,
            "bias": np.zeros(shape[1], np.float32),
        }
        for name, shape in shapes.items()
    }
    lines = []
    recipe = CompressionRecipe(
        sparsity=0.5, bits=3, prune_epochs=3, share_epochs=1, batch_size=50, learning_rate=1e-2
    )
    found = deep_compress(
        *(model, {"params": params}, train, stratified_subset(data.test, 50)),
        task=classification(10, preprocess=scale),
        recipe=recipe,
        workdir=tmp_path,
        name="tiny",
        say=lines.append,
    )
    assert isinstance(found, Compressed) and len(lines) == 4
    assert list(found.stages) == ["trained", "pruned", "shared", "fine-tuned"]
    assert found.path == tmp_path / "tiny.jxnc"
    last = found.stages["fine-tuned"]
    assert isinstance(last, Stage) and last.bytes == found.path.stat().st_size
    assert found.ratio == found.stages["trained"].bytes / last.bytes > 4
    read = read_compressed(found.path).variables["params"]
    assert density(read)["all"] == found.density["all"] == 0.5
    for name in shapes:
        assert len(np.unique(read[name]["kernel"])) <= 8
        assert (read[name]["bias"] != 0).any()  # it was trained


def test_sparsity_of_layers_needs_their_scope(tmp_path):
    recipe = CompressionRecipe(layer_sparsity={"fc1": 0.5})
    with pytest.raises(JaxnetsError, match='scope="layer"'):
        deep_compress(None, {}, None, None, task=None, recipe=recipe, workdir=tmp_path)


def test_the_report_counts_what_is_there(tmp_path):
    random = np.random.default_rng(0)
    kernel = np.where(random.random((50, 40)) < 0.1, random.integers(1, 4, (50, 40)), 0)
    tree = {
        "params": {"fc": {"kernel": kernel.astype(np.float32), "bias": np.zeros(40, np.float16)}}
    }
    encoded = encode_variables(tree)
    rows = layer_rows(encoded)
    row, bias = rows
    assert isinstance(row, LayerRow)
    assert (row.entries, row.nonzero) == (2000, np.count_nonzero(kernel))
    assert row.bytes == encoded["params/fc/kernel"].size and bias.bytes == 80
    table = layer_table(rows, 700).splitlines()
    assert table[2].startswith("| fc | 2,000 |") and "others" in table[3]
    assert table[4].startswith("| all, on disk | 2,040 |")
    stages = {"trained": (8000, 97.0), "pruned": (2000, 96.9), "file": (700, 96.5)}
    assert layer_figure(rows, stages, tmp_path / "x.png").stat().st_size > 10_000
