"""The bits of copied layers are watched."""

import jax
import numpy as np

from jaxnets.transfer import transferability


def test_a_changed_bit_is_seen():
    one = {"params": {"layer1": {"w": np.zeros(3, np.float32)}, "fc": {"w": np.ones(2)}}}
    two = jax.tree.map(np.copy, one)
    two["params"]["fc"]["w"][0] = 5
    assert transferability.equal_bits(one, two, ("layer1",))
    two["params"]["layer1"]["w"][1] = -0.0
    assert not transferability.equal_bits(one, two, ("layer1",))
