"""The table of `small_windows`, by hand."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxnets.nn import Conv
from jaxnets.study.networks.small_windows import COSTS, compare_windows, cut_ranks, save_ranks


class TwoLayers(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = Conv(6, (5, 5), padding=2, use_bias=False, name="wide")(x)
        return Conv(4, (1, 1), use_bias=False, name="point")(x).mean((1, 2))


def test_every_row_is_the_arithmetic_of_its_windows():
    rows, sums = compare_windows(TwoLayers(), (8, 8, 3))
    wide, stack, pair = 25 * 18, 9 * 18 + 9 * 36, 5 * 18 + 5 * 36
    point = 6 * 4
    assert rows == [
        ["wide", "5×5", 5, wide, 64 * wide, stack, 64 * stack, pair, 64 * pair],
        ["point", "1×1", 5, *(point, 64 * point) * 3],
    ]
    for form, cost in zip(("whole", "stacked", "rectangular"), (wide, stack, pair), strict=True):
        assert sums[form] == dict(zip(COSTS, (cost + point, 64 * (cost + point)), strict=True))


def test_a_lower_rank_costs_less_and_the_full_one_loses_nothing(tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 8, 8, 3)).astype(np.float32)
    network = TwoLayers()
    variables = network.init(jax.random.key(0), x[:1])
    labels = np.asarray(network.apply(variables, x)).argmax(-1)
    whole, full, fifth = cut_ranks(network, variables, x, labels, [1.0, 0.2])
    assert whole["accuracy"] == 1.0 and full["accuracy"] > 0.99
    assert fifth["accuracy"] < full["accuracy"]
    assert fifth["macs"] == 64 * (5 * 3 * 3 + 5 * 3 * 6 + 24) < whole["macs"] < full["macs"]
    save_ranks([whole, full, fifth], tmp_path / "ranks.png")
    assert (tmp_path / "ranks.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="share of the singular values"):
        cut_ranks(network, variables, x, labels, [2.0])
