"""How much of an attention map lies near its diagonal."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.metrics import diagonal_mass


def test_mass_near_the_diagonal_is_counted_entry_by_entry():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), (2, 3))
    for width in (0, 1, 4):
        for reverse in (False, True):
            wanted = [
                sum(
                    one[i, j]
                    for i in range(3)
                    for j in range(5)
                    if abs((4 - j if reverse else j) - i) <= width
                )
                / 3
                for one in weights
            ]
            found = diagonal_mass(jnp.asarray(weights), width=width, reverse=reverse)
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert diagonal_mass(jnp.full((9, 9), 1 / 9)) == pytest.approx(25 / 81)


@pytest.mark.parametrize("shape", [(3,), ()])
def test_what_is_no_map_is_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        diagonal_mass(jnp.ones(shape))
