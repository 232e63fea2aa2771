"""Inference with eight-bit convolutions."""

import os
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.nn import BatchNorm, Conv, quantize_for_inference

DATA = Path(os.environ.get("JAXNETS_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        y = Conv(16, (3, 3), padding=1, use_bias=False, name="first")(x)
        y = nn.relu(BatchNorm(name="norm")(y, train=train))
        return nn.relu(Conv(16, (3, 3), padding=1, name="second")(y) + x)


def test_a_block_is_what_its_integers_say():
    """Against a restatement in float64: rounding, sums, scales, bias, residual and ReLU."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((4, 8, 8, 16)), jnp.float32)
    block = Block()
    variables = block.init(jax.random.key(0), x)
    variables = jax.tree.map(lambda a: a + 0.3 * rng.random(a.shape).astype(a.dtype), variables)
    quantized, folded = quantize_for_inference(block, variables, [x[:2], x[2:]])
    got = jax.jit(quantized)(folded, x)
    assert quantized.quantized == quantized.fused == 2

    wide = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
    p, s = wide["params"], wide["batch_stats"]
    factor = p["norm"]["scale"] / np.sqrt(s["norm"]["var"] + 1e-5)
    shift = p["norm"]["bias"] - s["norm"]["mean"] * factor

    def conv(x, kernel):
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        taps = ((i, j) for i in range(3) for j in range(3))
        return sum(padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i, j in taps)

    def integers(x, low, high, kernel):
        largest, least = (255, 0) if low >= 0 else (127, -127)
        step = max(high, -low) / largest
        sizes = np.abs(kernel).max((0, 1, 2)) / 127
        q = np.clip(np.rint(x / step), least, largest)
        return conv(q, np.rint(kernel / sizes)) * (step * sizes)

    x64 = np.asarray(x, np.float64)
    y = np.maximum(integers(x64, x64.min(), x64.max(), p["first"]["kernel"] * factor) + shift, 0)
    # The range of the second one is that of the network in float32.
    exact = np.maximum(conv(x64, p["first"]["kernel"] * factor) + shift, 0)
    y = integers(y, 0.0, exact.max(), p["second"]["kernel"]) + p["second"]["bias"]
    want = np.maximum(y + x64, 0)
    # A value on the edge between two steps may be rounded to the other one.
    off = np.abs(np.asarray(got) - want)
    assert np.median(off) < 1e-5 and off.max() < 0.1 * want.max()
    off = np.abs(np.asarray(got) - np.asarray(block.apply(variables, x)))
    assert off.mean() < 0.01 * want.max() and off.max() < 0.05 * want.max()


def test_first_layers_and_groups_stay_and_other_batches_go():
    model = create_model("mobilenet_v2", num_classes=5, width=0.25)
    x = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    variables = model.init(jax.random.key(1), x)
    quantized, folded = quantize_for_inference(model, variables, [x], percentile=99.99)
    assert 0 < quantized.quantized == quantized.fused - 1
    whole = jax.jit(quantized)(folded, x)
    np.testing.assert_allclose(jax.jit(quantized)(folded, x[:1]), whole[:1], atol=1e-5)
    assert jax.jit(quantized)(folded, x[:0]).shape == (0, 5)
    assert any(value.dtype == jnp.int8 for value in folded.values())
    with pytest.raises(JaxnetsError, match="batches"):
        quantize_for_inference(model, variables, [])
    with pytest.raises(JaxnetsError, match="percentile"):
        quantize_for_inference(model, variables, [x], percentile=1)


@pytest.mark.slow
def test_a_trained_network_loses_little():
    """akamaster's ResNet-20, 91.73 % in float32."""
    weights = DATA / "weights" / "resnet20-12fca82f.th"
    if not weights.exists():
        pytest.skip("needs CIFAR-10 and weights of ResNet-20")
    from jaxnets.data import load_dataset
    from jaxnets.pretrained import load

    data = load_dataset("cifar10", data_dir=DATA / "tfds")
    model = create_model("resnet20")
    variables = load("resnet20", weights)
    images = jnp.asarray(data.test.images[:2000], jnp.float32) / 255
    images = (images - jnp.array([0.485, 0.456, 0.406])) / jnp.array([0.229, 0.224, 0.225])
    quantized, folded = quantize_for_inference(model, variables, [images[:100]])
    right = []
    for run in (
        jax.jit(lambda x: model.apply(variables, x)),
        jax.jit(lambda x: quantized(folded, x)),
    ):
        said = np.concatenate([run(x).argmax(-1) for x in jnp.split(images, 4)])
        right.append(float((said == data.test.labels[:2000]).mean()))
    assert right[0] > 0.9 and right[1] > right[0] - 0.005
