"""Tests with an argument `tiny` or `tiny_to_train` run once for each network of the catalogue."""

import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.tree_util import keystr

from jaxnets.models.counting import abstract_variables

# For the catalogue.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from catalogue_networks import NETWORKS, in_turn
from turns import turn

# Without --slow these stand for the others, whose programs take the compiler much longer.
QUICK = (
    *("mlp", "lenet5", "lenet5_1998", "resnet20", "resnet50_v1", "vgg11_bn"),
    *("alexnet_2014", "squeezenet1_1", "nin_cifar", "mobilenet_v1"),
)


def pytest_generate_tests(metafunc):
    if "tiny" in metafunc.fixturenames:
        metafunc.parametrize("tiny", _catalogue(QUICK))
    if "tiny_to_train" in metafunc.fixturenames:
        metafunc.parametrize("tiny_to_train", _catalogue(in_turn(turn())))


def _catalogue(quick):
    return [
        pytest.param(t, id=key, marks=[] if key in quick else [pytest.mark.slow])
        for key, t in NETWORKS.items()
    ]


@pytest.fixture(scope="session")
def filled_variables():
    """A function that makes variables of He-scaled noise without compiling an initialization."""

    def filled_variables(model, shape, seed=0):
        """Variables of a network for images of (H, W, C)."""
        rng = np.random.RandomState(seed)

        def fill(path, leaf):
            name = keystr(path)
            if any(part in name for part in ("scale", "var", "coefficient")):
                return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
            if leaf.ndim >= 2:
                fan_in = np.prod(leaf.shape[-4:-1])
                return (rng.standard_normal(leaf.shape) * np.sqrt(2 / fan_in)).astype(np.float32)
            return (0.1 * rng.standard_normal(leaf.shape)).astype(np.float32)

        return jax.tree_util.tree_map_with_path(fill, abstract_variables(model, shape))

    return filled_variables


@pytest.fixture(scope="session")
def quick_jit():
    """`jax.jit` that compiles in a third of the time to slower code: for programs that run once."""
    options = {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_use_fusion_emitters": False,
    }
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(1.0)
    except Exception:  # another version of XLA may not know an option
        return jax.jit
    return partial(jax.jit, compiler_options=options)
