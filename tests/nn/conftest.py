"""JAX at its strictest about dtypes, and the catalogue in reach."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(autouse=True)
def strict():
    """No dtype is promoted silently."""
    import jax

    with jax.numpy_dtype_promotion("strict"):
        yield
