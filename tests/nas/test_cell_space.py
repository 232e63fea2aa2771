"""Cells from tokens: NASNet-A is among them, and found ones make networks of any size."""

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.models.nasnet_cells import NASNET_A
from jaxnets.nas import cell_space, decode_cells, encode_cells

SPACE = cell_space(5)


def network(cells, features, genotype):
    return create_model(
        "nasnet_a_cifar", cells=cells, features=features, stem_width=8, genotype=genotype
    )


def test_nasnet_a_is_in_the_space():
    architecture = encode_cells(SPACE, NASNET_A)
    found = decode_cells(SPACE, architecture)
    assert found.normal == NASNET_A.normal and found.reduction == NASNET_A.reduction
    # Blocks that nobody uses; NASNet-A's normal cell adds its second input to them, its reduction
    # cell the ones that figure 4 draws.
    assert found.normal_outputs == NASNET_A.normal_outputs[1:]
    assert found.reduction_outputs == (2, 3, 4)
    assert encode_cells(SPACE, found) == architecture


@pytest.mark.parametrize("seed", range(3))
def test_found_cells_make_a_small_and_a_larger_network(seed):
    genotype = decode_cells(SPACE, SPACE.draw(np.random.default_rng(seed)))
    small = abstract_variables(network(1, 48, genotype), (16, 16, 3))["params"]
    large = abstract_variables(network(2, 96, genotype), (32, 32, 3))["params"]
    assert set(small) == set(large)  # the stages; the larger one has more blocks in each
    assert set(small["stage1"]) == {"block0"} and set(large["stage1"]) == {"block0", "block1"}
    assert set(small["stage1"]["block0"]) == set(large["stage1"]["block0"])
    filters = [
        parameters["stage2"]["block0"]["squeeze"]["conv"]["kernel"].shape[-1]
        for parameters in (small, large)
    ]
    assert filters == [4, 8]


def test_an_identity_of_stride_2_is_a_factorized_reduction():
    tokens = list(SPACE.draw(np.random.default_rng(0)))
    tokens[20:22] = 0, 0  # the reduction's first block: identity of x
    params = abstract_variables(network(1, 48, decode_cells(SPACE, tokens)), (16, 16, 3))["params"]
    assert "conv_even" in params["reduction1"]["pair0_left"]


def test_what_is_not_in_the_space_is_refused():
    with pytest.raises(JaxnetsError, match="at least one block"):
        cell_space(0)
    with pytest.raises(JaxnetsError, match="8 tokens, the cells have 40"):
        encode_cells(cell_space(1), NASNET_A)
    with pytest.raises(JaxnetsError, match="normal_operation has no 'sep5'"):
        encode_cells(cell_space(5, operations=("sep3", "identity")), NASNET_A)
    with pytest.raises(JaxnetsError, match="has 40 numbers, got 1"):
        decode_cells(SPACE, (0,))
