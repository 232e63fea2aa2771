"""More cases of make_torch_networks.py: families that torchvision and timm have not, or not so.

The references are pytorchcv 0.0.74 (pip install --no-deps), torchvision's blocks put together
anew, or networks written here straight from the papers' tables.
"""

import re
from functools import partial

import torch
import torch.nn.functional as F
import torchvision
from pytorchcv.models.bninception import BNInception
from pytorchcv.models.fractalnet_cifar import CIFARFractalNet
from pytorchcv.models.nasnet import get_nasnet
from torch import nn
from torchvision.models import inception


def pooled(model):
    """With the mean over the whole map instead of a window of 7×7, for small images."""
    model.features.final_pool = nn.AdaptiveAvgPool2d(1)
    return model


# ---- LeNet-5 of today, a perceptron ------------------------------------------------------------

LENET = partial(
    nn.Sequential,
    *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten()),
    *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
)
MLP = partial(
    nn.Sequential,
    *(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()),
    nn.Linear(128, 10),
)


# ---- Network in Network, ZFNet -----------------------------------------------------------------


def nin():
    """The authors' CIFAR network; Caffe rounds the sizes of poolings up."""
    layers, seen = [], 3
    for i, (widths, kernel) in enumerate(
        (((192, 160, 96), 5), ((192, 192, 192), 5), ((192, 192, 10), 3))
    ):
        for width, k in zip(widths, (kernel, 1, 1), strict=True):
            layers += [nn.Conv2d(seen, width, k, padding=k // 2), nn.ReLU()]
            seen = width
        if i < 2:
            layers += [(nn.MaxPool2d, nn.AvgPool2d)[i](3, 2, ceil_mode=True), nn.Dropout()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def zfnet():
    """Figure 3 of the paper; contrast normalization behind the first two poolings."""
    lrn = lambda: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # noqa: E731
    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)  # noqa: E731
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 7, 2, 1), nn.ReLU(), pool(), lrn()),
        *(nn.Conv2d(96, 256, 5, 2), nn.ReLU(), pool(), lrn()),
        *(nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 384, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(256 * 9, 32), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(32, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)),
    )


def overfeat():
    """Table 1 of the paper; narrow connected layers, as convolutions that see one window."""
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(96, 256, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(256, 512, 3, 1, 1), nn.ReLU(), nn.Conv2d(512, 1024, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(1024, 1024, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(1024, 32, 2), nn.ReLU(), nn.Dropout()),
        *(nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Dropout(), nn.Conv2d(32, 10, 1), nn.Flatten()),
    )


# ---- GoogLeNet of the paper --------------------------------------------------------------------


class PaperInception(nn.Module):
    def __init__(self, seen, one, reduce3, three, reduce5, five, pool):
        super().__init__()
        conv = lambda i, o, k: nn.Conv2d(i, o, k, padding=k // 2)  # noqa: E731
        self.one, self.pool = conv(seen, one, 1), conv(seen, pool, 1)
        self.reduce3, self.three = conv(seen, reduce3, 1), conv(reduce3, three, 3)
        self.reduce5, self.five = conv(seen, reduce5, 1), conv(reduce5, five, 5)

    def forward(self, x):
        a = F.relu(self.one(x))
        b = F.relu(self.three(F.relu(self.reduce3(x))))
        c = F.relu(self.five(F.relu(self.reduce5(x))))
        d = F.relu(self.pool(F.max_pool2d(x, 3, 1, 1)))
        return torch.cat([a, b, c, d], 1)


class PaperAuxiliary(nn.Module):
    """On a map of 4×4 already, as images of 64×64 make it."""

    def __init__(self, seen, classes, width):
        super().__init__()
        self.conv = nn.Conv2d(seen, int(128 * width), 1)
        self.fc1 = nn.Linear(int(128 * width) * 16, int(1024 * width))
        self.fc2 = nn.Linear(int(1024 * width), classes)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(F.relu(self.conv(x)).flatten(1))))


class PaperGoogLeNet(nn.Module):
    """Table 1: 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection; all times ``width``."""

    TABLE = (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )

    def __init__(self, width, classes):
        super().__init__()
        n = lambda channels: int(channels * width)  # noqa: E731
        self.conv1 = nn.Conv2d(3, n(64), 7, 2, 3)
        self.reduce, self.conv2 = nn.Conv2d(n(64), n(64), 1), nn.Conv2d(n(64), n(192), 3, 1, 1)
        self.relu = nn.ReLU()
        self.lrn = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        self.blocks, seen = nn.ModuleList(), n(192)
        for row in self.TABLE:
            self.blocks.append(PaperInception(seen, *map(n, row)))
            seen = sum(n(row[i]) for i in (0, 2, 4, 5))
        self.aux1 = PaperAuxiliary(n(512), classes, width)
        self.aux2 = PaperAuxiliary(n(528), classes, width)
        self.fc = nn.Linear(seen, classes)

    def forward(self, x):
        pool = lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)  # noqa: E731
        x = self.lrn(pool(self.relu(self.conv1(x))))
        x = pool(self.lrn(F.relu(self.conv2(F.relu(self.reduce(x))))))
        heads = []
        for i, block in enumerate(self.blocks):
            x = block(pool(x) if i in (2, 7) else x)
            if self.training and i in (2, 5):
                heads.append((self.aux1, self.aux2)[len(heads)](x))
        logits = self.fc(x.mean((2, 3)))
        return (logits, *heads) if self.training else logits


# ---- ShuffleNet v1 -----------------------------------------------------------------------------


class ShuffleUnit(nn.Module):
    """Figure 2b and c; the shortcut's channels come first (pytorchcv puts them last)."""

    def __init__(self, seen, features, stride, groups, first):
        super().__init__()
        inner, made = features // 4, features - (seen if stride > 1 else 0)
        conv = partial(nn.Conv2d, bias=False)
        self.groups, self.stride = groups, stride
        self.reduce, self.bn1 = conv(seen, inner, 1, groups=first), nn.BatchNorm2d(inner)
        self.deep = conv(inner, inner, 3, stride, 1, groups=inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.expand, self.bn3 = conv(inner, made, 1, groups=groups), nn.BatchNorm2d(made)

    def forward(self, x):
        y = F.channel_shuffle(F.relu(self.bn1(self.reduce(x))), self.groups)
        y = self.bn3(self.expand(self.bn2(self.deep(y))))
        if self.stride == 1:
            return F.relu(x + y)
        return F.relu(torch.cat([F.avg_pool2d(x, 3, 2, 1), y], 1))


def shufflenet(groups=2, channels=(200, 400, 800), repeats=(2, 2, 1)):
    stem = (nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
    stages, seen = [], 24
    for width, count in zip(channels, repeats, strict=True):
        units = []
        for j in range(count):
            # The very first 1×1 is not grouped: its input is narrow.
            first = 1 if seen == 24 else groups
            units.append(ShuffleUnit(seen, width, 1 if j else 2, groups, first))
            seen = width
        stages.append(nn.Sequential(*units))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(seen, 10))
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *stages, *head)


# ---- BN-Inception, NASNet, FractalNet of pytorchcv ---------------------------------------------


def bn_inception():
    """All channels an eighth."""
    eighth = lambda t: [eighth(v) for v in t] if isinstance(t, list) else t // 8  # noqa: E731
    reduce = [
        [[64, 64], [64, 64]],
        [[128, 64], [64, 96], [96, 96], [128, 128], [128, 160]],
        [[128, 192], [192, 160], [192, 192]],
    ]
    made = [
        [[64, 64, 96, 32], [64, 96, 96, 64]],
        [
            [0, 160, 96, 0],
            [224, 96, 128, 128],
            [192, 128, 128, 128],
            [160, 160, 160, 128],
            [96, 192, 192, 128],
        ],
        [[0, 192, 256, 0], [352, 320, 224, 128], [352, 320, 224, 128]],
    ]
    channels = [[256, 320], [576, 576, 576, 608, 608], [1056, 1024, 1024]]
    tables = [eighth(t) for t in (channels, [64, 192], reduce, made)]
    return pooled(BNInception(*tables, num_classes=10))


def nasnet(repeat, skip):
    return pooled(
        get_nasnet(
            repeat=repeat,
            penultimate_filters=192,
            init_block_channels=16,
            final_pool_size=7,
            extra_padding=True,
            skip_reduction_layer_input=skip,
            in_size=(64, 64),
            num_classes=10,
        )
    )


NASNET = {
    "fields": {"cells": 2, "features": 192, "stem_width": 16, "num_classes": 10},
    "endpoints": {"stem": "features.init_block"},
    "images": (4, 64, 64, 3),
    "train": True,
}


def fractal_order(name):
    """Ours runs the columns that end together from the shortest to the deepest."""
    numbers = re.findall(r"unit(\d+).*\.block(\d+)\.subblock(\d+)", name)
    return (*map(int, numbers[0][:2]), -int(numbers[0][2])) if numbers else (99,)


# ---- Inception-v2, with torchvision's blocks of Inception-v3 -----------------------------------

Conv = inception.BasicConv2d


class Figure5(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Conv(288, 64, kernel_size=1)
        self.b = nn.Sequential(Conv(288, 48, kernel_size=1), Conv(48, 64, kernel_size=3, padding=1))
        self.c = nn.Sequential(
            Conv(288, 64, kernel_size=1),
            Conv(64, 96, kernel_size=3, padding=1),
            Conv(96, 96, kernel_size=3, padding=1),
        )
        self.d = Conv(288, 64, kernel_size=1)

    def forward(self, x):
        d = F.avg_pool2d(x, 3, 1, 1)
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(d)], 1)


class Figure10(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(
            Conv(768, 192, kernel_size=1), Conv(192, 320, kernel_size=3, stride=2)
        )
        self.b = nn.Sequential(
            Conv(768, 192, kernel_size=1),
            Conv(192, 192, kernel_size=3, padding=1),
            Conv(192, 192, kernel_size=3, stride=2),
        )

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), F.max_pool2d(x, 3, 2)], 1)


def inception_v2():
    return nn.Sequential(
        Conv(3, 32, kernel_size=3, stride=2),
        Conv(32, 32, kernel_size=3),
        Conv(32, 64, kernel_size=3, padding=1),
        nn.MaxPool2d(3, 2),
        Conv(64, 80, kernel_size=3),
        Conv(80, 192, kernel_size=3, stride=2),
        Conv(192, 288, kernel_size=3, padding=1),
        *(Figure5() for _ in range(3)),
        inception.InceptionB(288),
        *(inception.InceptionC(768, n) for n in (128, 160, 160, 160, 192)),
        Figure10(),
        *(inception.InceptionE(n) for n in (1280, 2048)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 10)),
    )


# ---- FitNets -----------------------------------------------------------------------------------


class Maxout(nn.Module):
    """The larger of two linear maps."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return torch.maximum(*self.layer(x).chunk(2, 1))


def fitnet1():
    layers, before = [], 3
    for i, stage in enumerate(((16, 16, 16), (32, 32, 32), (48, 48, 64))):
        layers += [nn.MaxPool2d(2)] if i else []
        for width in stage:
            layers.append(Maxout(nn.Conv2d(before, 2 * width, 3, padding=1)))
            before = width
    head = (Maxout(nn.Linear(64, 1000)), nn.Linear(500, 10))
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), *head)


CASES = {
    "lenet5": {
        "model": "lenet5",
        "build": LENET,
        "endpoints": {"c1": "1", "s2": "2", "c3": "4", "s4": "5", "c5": "7"},
        "images": (4, 32, 32, 1),
        "train": True,
    },
    "mlp": {
        "model": "mlp",
        "build": MLP,
        "endpoints": {"fc1": "2", "fc2": "4"},
        "images": (4, 28, 28, 1),
        "train": True,
    },
    "nin_cifar": {
        "model": "nin_cifar",
        "build": nin,
        "endpoints": {"stage1": "5", "stage2": "13"},
        "images": (4, 16, 16, 3),
        "train": True,
    },
    "fitnet1": {
        "model": "fitnet1",
        "build": fitnet1,
        "endpoints": {"stage1": "2", "stage2": "6", "stage3": "10"},
        "images": (4, 16, 16, 3),
        "train": True,
    },
    "zfnet": {
        "model": "zfnet",
        "fields": {"fc_width": 32, "fc_window": 3, "num_classes": 10},
        "build": zfnet,
        "flatten": {"16": (256, 3, 3)},
        "endpoints": {"conv1": "1", "conv2": "5", "conv3": "9", "conv4": "11", "conv5": "13"},
        "images": (2, 127, 127, 3),
        "train": True,
        "ties": "sums",
    },
    "overfeat_fast": {
        "model": "overfeat_fast",
        "fields": {"fc_widths": [32, 32], "fc_window": 2, "num_classes": 10},
        "build": overfeat,
        "endpoints": {"conv1": "1", "conv2": "4", "conv3": "7", "conv4": "9", "conv5": "11"},
        "images": (2, 103, 103, 3),
        "train": True,
        "ties": "sums",
    },
    "googlenet": {
        "model": "googlenet",
        "fields": {"width": 0.25, "num_classes": 10, "auxiliary": True},
        "build": partial(PaperGoogLeNet, 0.25, 10),
        "flatten": {"aux1.fc1": (32, 4, 4), "aux2.fc1": (32, 4, 4)},
        "endpoints": {
            "conv1": "relu",
            **{
                f"inception{place}": f"blocks.{i}"
                for i, place in enumerate(("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"))
            },
        },
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "googlenet_bn_auxiliary": {
        "model": "googlenet_bn",
        "fields": {"num_classes": 10, "auxiliary": True},
        # It returns the heads the other way round.
        "build": lambda: torchvision.models.googlenet(init_weights=False, num_classes=10),
        "flatten": {"aux1.fc1": (128, 4, 4), "aux2.fc1": (128, 4, 4)},
        "endpoints": {"inception5b": "inception5b"},
        "images": (4, 64, 64, 3),
        "train": True,
        "ties": True,
    },
    "bn_inception": {
        "model": "bn_inception",
        "fields": {"width": 0.125, "num_classes": 10},
        "build": bn_inception,
        "endpoints": {
            "inception3b": "features.stage1",
            "inception3c": "features.stage2.unit1",
            "inception4d": "features.stage2",
            "inception4e": "features.stage3.unit1",
            "inception5b": "features.stage3",
        },
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "inception_v2": {
        "model": "inception_v2",
        "fields": {"num_classes": 10},
        "build": inception_v2,
        "endpoints": {
            **{"stem1": "2", "stem2": "4", "stem3": "6"},
            **{
                f"mixed{m}": str(i)
                for i, m in enumerate(
                    ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "6f", "7a", "7b", "7c"), 7
                )
            },
        },
        "images": (4, 107, 107, 3),
        "train": True,
        "ties": True,
    },
    "shufflenet_v1_g2": {
        "model": "shufflenet_v1_g2",
        "fields": {"stages": [2, 2, 1], "num_classes": 10},
        "build": shufflenet,
        "endpoints": {"stem": "2", **{f"stage{i}": str(i + 2) for i in (2, 3, 4)}},
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "nasnet_a_two_cells_a_stack": {"model": "nasnet_a_mobile", "build": partial(nasnet, 2, False)}
    | NASNET,
    "nasnet_a_two_cells_skipping": {"model": "nasnet_a_large", "build": partial(nasnet, 2, True)}
    | NASNET,
    "fractalnet": {
        "model": "fractalnet",
        "fields": {"widths": [8, 16, 24], "columns": 3, "dropout_rates": [0.0, 0.0, 0.0]}
        | {"drop_path": 0.0, "global_share": 0.0},
        "build": lambda: CIFARFractalNet([8, 16, 24], 3, [0.0] * 3, 0.0, 0.0, in_size=(16, 16)),
        "endpoints": {f"stage{i}": f"features.unit{i}.block" for i in (1, 2, 3)},
        "order": fractal_order,
        "images": (4, 8, 8, 3),
        "train": True,
    },
}
