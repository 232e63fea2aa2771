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


CASES = {
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
