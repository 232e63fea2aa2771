"""Every class of registered networks once, tiny, and whose turn it is to be trained.

The generic tests of `tests/models` loop over this list; one of them fails where a class is missing.
"""

from typing import Any, NamedTuple

from turns import TURNS

from jaxnets.models import model_info
from jaxnets.models.overfeat import Layer


class Network(NamedTuple):
    """A registered network made so small that it compiles in a second or two.

    Attributes:
        name: in the registry.
        fields: that make it small.
        shape: (H, W, C) of the images it takes.
    """

    name: str
    fields: dict[str, Any]
    shape: tuple[int, int, int]


NETWORKS = {
    "mlp": Network("mlp", {"hidden": (32, 16), "dropout_rate": 0.1}, (8, 8, 1)),
    "lenet5": Network("lenet5", {}, (8, 8, 1)),
    "lenet5_caffe": Network("lenet5_caffe", {"widths": (4, 6, 16)}, (16, 16, 1)),
    "lenet_300_100": Network("lenet_300_100", {"hidden": (24, 10)}, (8, 8, 1)),
    "lenet5_1998": Network("lenet5_1998", {}, (28, 28, 1)),
    "resnet20": Network("resnet20", {"blocks": 2, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet20_B": Network(
        "resnet20", {"blocks": 1, "widths": (8, 12, 16), "shortcut": "B"}, (16, 16, 3)
    ),
    "resnet1202": Network("resnet1202", {"blocks": 3, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet18": Network("resnet18", {"stages": (1, 1, 1, 1), "width": 8}, (48, 48, 3)),
    "resnet50_v1": Network(
        "resnet50_v1", {"stages": (2, 1, 1, 1), "width": 4, "zero_gamma": False}, (48, 48, 3)
    ),
    "resnet50_C": Network(
        "resnet50", {"stages": (2, 1), "width": 4, "width_factor": 2, "shortcut": "C"}, (32, 32, 3)
    ),
    "plain18": Network("plain18", {"stages": (1, 1), "width": 8}, (32, 32, 3)),
    "vgg11_lrn": Network(
        "vgg11_lrn", {"widths": (8, 8, 12, 16, 16), "fc_width": 24, "fc_window": 1}, (32, 32, 3)
    ),
    "vgg11_bn": Network(
        "vgg11_bn", {"widths": (8, 8, 12, 16, 16), "fc_width": 24, "fc_window": 2}, (32, 32, 1)
    ),
    # The published N(0, 0.01²) lets nothing through where the layers are this narrow.
    "alexnet": Network(
        "alexnet",
        {"channels": (8, 16, 24, 24, 16), "fc_width": 32, "fc_window": 1, "paper_init": False},
        (67, 67, 3),
    ),
    # It drops half of what it flattens: of the 16 numbers left here too many to overfit.
    "alexnet_2014": Network(
        "alexnet_2014",
        {
            "channels": (8, 16, 24, 24, 16),
            "fc_width": 32,
            "fc_window": 1,
            "dropout_rate": 0.2,
        },
        (64, 64, 3),
    ),
    "zfnet": Network(
        "zfnet",
        {"channels": (8, 16, 24, 24, 16), "fc_width": 32, "fc_window": 1, "paper_init": False},
        (64, 64, 3),
    ),
    "overfeat_fast": Network(
        "overfeat_fast",
        {
            "layers": (Layer(12, 5, 2, pool=2), Layer(16, padding=1, pool=2)),
            "fc_widths": (24, 16),
            "fc_window": 2,
            "dropout_rate": 0.2,
        },
        (19, 19, 3),
    ),
    "squeezenet1_1": Network(
        "squeezenet1_1", {"stages": (((8, 16),), ((8, 16),)), "stem_width": 8}, (32, 32, 3)
    ),
    "squeezenet1_0_complex": Network(
        "squeezenet1_0_complex",
        {"stages": (((4, 8), (4, 8)), ((4, 12),)), "stem_width": 8},
        (32, 32, 3),
    ),
    "nin_cifar": Network(
        "nin_cifar",
        {"stages": (((16, 16, 16), 5, 1, 2), ((24, 24, 24), 5, 1, 2), ((24, 24, 0), 3, 1, 1))},
        (16, 16, 3),
    ),
    "fitnet1": Network("fitnet1", {"widths": ((8, 8), (12, 12), (16,)), "fc_width": 24}, (8, 8, 3)),
    "mobilenet_v1": Network("mobilenet_v1", {"width": 0.25}, (32, 32, 3)),
    "mobilenet_v2": Network(
        "mobilenet_v2",
        {"blocks": ((1, 8, 1, 1), (3, 8, 2, 2), (3, 16, 1, 2)), "last_width": 32, "width": 0.5},
        (32, 32, 3),
    ),
    "resnext50_32x4d": Network(
        "resnext50_32x4d",
        {"stages": (1, 1), "cardinality": 4, "path_width": 2, "width": 8},
        (32, 32, 3),
    ),
    "resnext50_split": Network(
        "resnext50_32x4d",
        {"stages": (1, 1), "cardinality": 2, "path_width": 4, "width": 8, "form": "split"},
        (32, 32, 3),
    ),
    "wide_resnet50_2": Network("wide_resnet50_2", {"stages": (1, 1), "width": 4}, (32, 32, 3)),
    "wrn_16_8": Network("wrn_16_8", {"depth": 10, "width": 1, "dropout_rate": 0.1}, (16, 16, 3)),
    "se_resnet50": Network(
        "se_resnet50", {"stages": (1, 1), "width": 8, "reduction": 4}, (32, 32, 3)
    ),
    "senet154": Network(
        "senet154", {"stages": (1, 1), "width": 8, "reduction": 4, "groups": 4}, (32, 32, 3)
    ),
    "densenet121": Network(
        "densenet121", {"stages": (2, 2, 1), "growth": 8, "stem_width": 16}, (32, 32, 3)
    ),
    "densenet40_remat": Network(
        "densenet40_k12", {"stages": (2, 2, 2), "remat": True, "dropout_rate": 0.1}, (16, 16, 3)
    ),
    "googlenet": Network("googlenet", {"width": 0.125}, (48, 48, 3)),
    "googlenet_bn": Network("googlenet_bn", {"width": 0.125}, (32, 32, 3)),
    "shufflenet_v1_g2": Network(
        "shufflenet_v1_g2", {"channels": (32, 64), "stages": (2, 1), "stem_width": 8}, (32, 32, 3)
    ),
    "shufflenet_v2_x0_5": Network(
        "shufflenet_v2_x0_5",
        {"channels": (16, 32, 48), "stages": (2, 1), "stem_width": 8},
        (32, 32, 3),
    ),
    # The slowest to compile, spread over the turns.
    "inception_v3": Network("inception_v3", {"width": 0.0625}, (75, 75, 3)),
    "nasnet_a_mobile": Network(
        "nasnet_a_mobile", {"cells": 1, "features": 96, "stem_width": 8}, (32, 32, 3)
    ),
    "inception_v2": Network("inception_v2", {"width": 0.0625}, (75, 75, 3)),
    "fractalnet": Network(
        "fractalnet", {"widths": (8, 12), "columns": 3, "dropout_rates": (0.0, 0.1)}, (16, 16, 3)
    ),
    "se_bn_inception": Network("se_bn_inception", {"width": 0.125, "reduction": 4}, (32, 32, 3)),
}


def in_turn(number):
    """One network of each family whose turn it is: every family comes in any `TURNS` in a row."""
    first = {}
    for key, network in NETWORKS.items():
        first.setdefault(model_info(network.name).family, key)
    return [*first.values()][number % TURNS :: TURNS]
