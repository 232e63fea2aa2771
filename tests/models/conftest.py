"""The catalogue: every family of networks at a size that compiles in a second or two.

A test with an argument `tiny` runs once for each entry.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax.tree_util import keystr

from jaxnets.models.counting import abstract_variables


class Tiny(NamedTuple):
    """A registered network made small by its fields, and the images it takes."""

    name: str
    fields: dict
    shape: tuple[int, int, int]


TINY = {
    "mlp": Tiny("mlp", {"hidden": (32, 16), "dropout_rate": 0.1}, (8, 8, 1)),
    "lenet5": Tiny("lenet5", {}, (8, 8, 1)),
    "lenet5_1998": Tiny("lenet5_1998", {}, (28, 28, 1)),
    "resnet20": Tiny("resnet20", {"blocks": 2, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet20_B": Tiny(
        "resnet20", {"blocks": 1, "widths": (8, 12, 16), "shortcut": "B"}, (16, 16, 3)
    ),
    "resnet1202": Tiny("resnet1202", {"blocks": 3, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet18": Tiny("resnet18", {"stages": (1, 1, 1, 1), "width": 8}, (48, 48, 3)),
    "resnet50_v1": Tiny(
        "resnet50_v1", {"stages": (2, 1, 1, 1), "width": 4, "zero_gamma": False}, (48, 48, 3)
    ),
    "resnet50_C": Tiny(
        "resnet50", {"stages": (2, 1), "width": 4, "width_factor": 2, "shortcut": "C"}, (32, 32, 3)
    ),
    "plain18": Tiny("plain18", {"stages": (1, 1), "width": 8}, (32, 32, 3)),
    "vgg11_lrn": Tiny(
        "vgg11_lrn", {"widths": (8, 8, 12, 16, 16), "fc_width": 24, "fc_window": 1}, (32, 32, 3)
    ),
    "vgg11_bn": Tiny(
        "vgg11_bn", {"widths": (8, 8, 12, 16, 16), "fc_width": 24, "fc_window": 2}, (32, 32, 1)
    ),
    # The published N(0, 0.01²) lets nothing through where the layers are this narrow.
    "alexnet": Tiny(
        "alexnet",
        {"channels": (8, 16, 24, 24, 16), "fc_width": 32, "fc_window": 1, "paper_init": False},
        (67, 67, 3),
    ),
    # It drops half of what it flattens: of the 16 numbers left here too much to learn by heart.
    "alexnet_2014": Tiny(
        "alexnet_2014",
        {
            "channels": (8, 16, 24, 24, 16),
            "fc_width": 32,
            "fc_window": 1,
            "dropout_rate": 0.2,
        },
        (64, 64, 3),
    ),
    "zfnet": Tiny(
        "zfnet",
        {"channels": (8, 16, 24, 24, 16), "fc_width": 32, "fc_window": 1, "paper_init": False},
        (64, 64, 3),
    ),
    "squeezenet1_1": Tiny(
        "squeezenet1_1", {"stages": (((4, 8),), ((4, 12),)), "stem_width": 8}, (32, 32, 3)
    ),
    "squeezenet1_0_complex": Tiny(
        "squeezenet1_0_complex",
        {"stages": (((4, 8), (4, 8)), ((4, 12),)), "stem_width": 8},
        (32, 32, 3),
    ),
    "nin_cifar": Tiny(
        "nin_cifar",
        {"stages": (((16, 16, 16), 5, 1, 2), ((24, 24, 24), 5, 1, 2), ((24, 24, 0), 3, 1, 1))},
        (16, 16, 3),
    ),
    "mobilenet_v1": Tiny("mobilenet_v1", {"width": 0.25}, (32, 32, 3)),
    "mobilenet_v2": Tiny(
        "mobilenet_v2",
        {"blocks": ((1, 8, 1, 1), (3, 8, 2, 2), (3, 16, 1, 2)), "last_width": 32, "width": 0.5},
        (32, 32, 3),
    ),
    "resnext50_32x4d": Tiny(
        "resnext50_32x4d",
        {"stages": (1, 1), "cardinality": 4, "path_width": 2, "width": 8},
        (32, 32, 3),
    ),
    "resnext50_split": Tiny(
        "resnext50_32x4d",
        {"stages": (1, 1), "cardinality": 2, "path_width": 4, "width": 8, "form": "split"},
        (32, 32, 3),
    ),
    "wide_resnet50_2": Tiny("wide_resnet50_2", {"stages": (1, 1), "width": 4}, (32, 32, 3)),
    "wrn_16_8": Tiny("wrn_16_8", {"depth": 10, "width": 1, "dropout_rate": 0.1}, (16, 16, 3)),
    "se_resnet50": Tiny("se_resnet50", {"stages": (1, 1), "width": 8, "reduction": 4}, (32, 32, 3)),
    "senet154": Tiny(
        "senet154", {"stages": (1, 1), "width": 8, "reduction": 4, "groups": 4}, (32, 32, 3)
    ),
    "densenet121": Tiny(
        "densenet121", {"stages": (2, 2, 1), "growth": 8, "stem_width": 16}, (32, 32, 3)
    ),
    "densenet40_remat": Tiny(
        "densenet40_k12", {"stages": (2, 2, 2), "remat": True, "dropout_rate": 0.1}, (16, 16, 3)
    ),
    "googlenet": Tiny("googlenet", {"width": 0.125}, (48, 48, 3)),
    "googlenet_bn": Tiny("googlenet_bn", {"width": 0.125}, (32, 32, 3)),
    "shufflenet_v1_g2": Tiny(
        "shufflenet_v1_g2", {"channels": (32, 64), "stages": (2, 1), "stem_width": 8}, (32, 32, 3)
    ),
    "shufflenet_v2_x0_5": Tiny(
        "shufflenet_v2_x0_5",
        {"channels": (16, 32, 48), "stages": (2, 1), "stem_width": 8},
        (32, 32, 3),
    ),
    "se_bn_inception": Tiny("se_bn_inception", {"width": 0.125, "reduction": 4}, (32, 32, 3)),
    "inception_v2": Tiny("inception_v2", {"width": 0.0625}, (75, 75, 3)),
    "inception_v3": Tiny("inception_v3", {"width": 0.0625}, (75, 75, 3)),
    "fractalnet": Tiny(
        "fractalnet", {"widths": (8, 12), "columns": 3, "dropout_rates": (0.0, 0.1)}, (16, 16, 3)
    ),
    "nasnet_a_mobile": Tiny(
        "nasnet_a_mobile", {"cells": 1, "features": 96, "stem_width": 8}, (32, 32, 3)
    ),
}


# Without --slow these stand for the others, whose programs take the compiler much longer.
QUICK = (
    *("mlp", "lenet5", "lenet5_1998", "resnet20", "resnet50_v1", "vgg11_bn"),
    *("alexnet_2014", "squeezenet1_1", "nin_cifar", "mobilenet_v1"),
)
# Of the overfitting test this runs without --slow: it compiles two programs and trains.
QUICK_TO_TRAIN = ("lenet5",)


def pytest_generate_tests(metafunc):
    if "tiny" in metafunc.fixturenames:
        metafunc.parametrize("tiny", _catalogue(QUICK))
    if "tiny_to_train" in metafunc.fixturenames:
        metafunc.parametrize("tiny_to_train", _catalogue(QUICK_TO_TRAIN))


def _catalogue(quick):
    return [
        pytest.param(t, id=key, marks=[] if key in quick else [pytest.mark.slow])
        for key, t in TINY.items()
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
