"""The cases of make_torch_networks.py: a PyTorch network, and which of ours it is.

model, fields: ours. build: theirs. endpoints: our feature map → the path of their module.
flatten: their Linear that follows a flattened (C, H, W) map. train: the loss, gradients and
statistics as well. slow: full size, seconds to compile.
"""

import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

RESNET_ENDPOINTS = {"stem": "relu", **{f"stage{i}": f"layer{i}" for i in (1, 2, 3, 4)}}


class CifarBlock(nn.Module):
    """Basic block with the option-A shortcut, as the public CIFAR networks have it."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.stride, self.extra = stride, after - before
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.extra:
            side = self.extra // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, side, side))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    def __init__(self, n, widths=(16, 32, 64)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        before = widths[0]
        for i, width in enumerate(widths, start=1):
            blocks = []
            for j in range(n):
                blocks.append(CifarBlock(before, width, 2 if i > 1 and j == 0 else 1))
                before = width
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.linear = nn.Linear(before, 10)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def head(window, channels, first, width=32):
    """The connected layers of AlexNet and VGG, narrow, so that no case needs 100 M numbers."""
    drop = [[nn.Dropout()], []] if first else [[], [nn.Dropout()]]
    layers = []
    for n_in in (channels * window * window, width):
        layers += [*drop[0], nn.Linear(n_in, width), nn.ReLU(), *drop[1]]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def with_head(model, window, channels, first):
    model.classifier = head(window, channels, first)
    return model


class AlexNet2012(nn.Module):
    """Two groups in the second, fourth and fifth convolution; PyTorch's LRN divides alpha by 5."""

    def __init__(self):
        super().__init__()
        lrn = lambda: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # noqa: E731
        pool = lambda: nn.MaxPool2d(3, 2)  # noqa: E731
        self.features = nn.Sequential(
            *[nn.Conv2d(3, 96, 11, 4), nn.ReLU(), lrn(), pool()],
            *[nn.Conv2d(96, 256, 5, 1, 2, groups=2), nn.ReLU(), lrn(), pool()],
            *[nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU()],
            *[nn.Conv2d(384, 384, 3, 1, 1, groups=2), nn.ReLU()],
            *[nn.Conv2d(384, 256, 3, 1, 1, groups=2), nn.ReLU(), pool()],
        )
        self.classifier = head(6, 256, first=False)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.features(x), 6)
        return self.classifier(x.flatten(1))


def sequence(**indices):
    return {name: f"features.{i}" for name, i in indices.items()}


CASES = {
    "vgg11_bn": {
        "model": "vgg11_bn",
        "fields": {"fc_width": 32, "num_classes": 10},
        "build": lambda: with_head(torchvision.models.vgg11_bn(), 7, 512, first=False),
        "flatten": {"classifier.0": (512, 7, 7)},
        "endpoints": sequence(stage1=2, stage2=6, stage3=13, stage4=20, stage5=27, pool5=28),
        "train": True,
    },
    "alexnet_2014": {
        "model": "alexnet_2014",
        "fields": {"fc_width": 32, "num_classes": 10},
        "build": lambda: with_head(torchvision.models.alexnet(), 6, 256, first=True),
        "flatten": {"classifier.1": (256, 6, 6)},
        "endpoints": sequence(conv1=1, conv2=4, conv3=7, conv4=9, conv5=11, pool5=12),
        "images": (2, 127, 127, 3),
    },
    "alexnet": {
        "model": "alexnet",
        "fields": {"fc_width": 32, "num_classes": 10},
        "build": AlexNet2012,
        "flatten": {"classifier.0": (256, 6, 6)},
        "endpoints": sequence(conv1=1, conv2=5, conv3=9, conv4=11, conv5=13, pool5=14),
        "images": (2, 131, 131, 3),
        "train": True,
    },
    "squeezenet1_0": {
        "model": "squeezenet1_0",
        "build": torchvision.models.squeezenet1_0,
        "endpoints": sequence(conv1=1, stage1=5, stage2=10, stage3=12),
    },
    "squeezenet1_1": {
        "model": "squeezenet1_1",
        "build": torchvision.models.squeezenet1_1,
        "endpoints": sequence(conv1=1, stage1=4, stage2=7, stage3=12),
        "train": True,
    },
    "resnet18": {
        "model": "resnet18",
        "build": torchvision.models.resnet18,
        "endpoints": RESNET_ENDPOINTS,
    },
    "resnet50": {
        "model": "resnet50",
        "build": torchvision.models.resnet50,
        "endpoints": RESNET_ENDPOINTS,
    },
    "resnet18_one_block_a_stage": {
        "model": "resnet18",
        "fields": {"stages": [1, 1, 1, 1], "num_classes": 10},
        "build": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10),
        "endpoints": RESNET_ENDPOINTS,
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "resnet50_one_block_a_stage": {
        "model": "resnet50",
        "fields": {"stages": [1, 1, 1, 1], "num_classes": 10},
        "build": lambda: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10),
        "endpoints": RESNET_ENDPOINTS,
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "resnet20": {
        "model": "resnet20",
        "build": lambda: CifarResNet(3),
        "endpoints": {"stem": "relu", **{f"stage{i}": f"layer{i}" for i in (1, 2, 3)}},
        "images": (4, 32, 32, 3),
        "train": True,
    },
}
