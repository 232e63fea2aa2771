"""The cases of make_torch_networks.py: a PyTorch network, and which of ours it is.

model, fields: ours. build: theirs. endpoints: our feature map → the path of their module.
flatten: their Linear that follows a flattened (C, H, W) map. train: the loss, gradients and
statistics as well. order: a sort key of their layers' names where they call them in another order
than ours. slow: full size, seconds to compile. ties: ReLUs and maxima that rounding decides move
the gradients, by how much is stored; "sums": the rounding of long sums, where that of one value
does not reach it.
"""

import timm
import torch.nn.functional as F
import torch_cases_more
import torchvision
from timm.models import senet
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


class WideBlock(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        if before != after:
            self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x):
        active = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return y + (self.shortcut(active) if hasattr(self, "shortcut") else x)


def wide_resnet(blocks, k):
    layers, before = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for i, width in enumerate((16 * k, 32 * k, 64 * k)):
        for j in range(blocks):
            layers.append(WideBlock(before, width, 2 if i and not j else 1))
            before = width
    layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(before, 10))


SE_ENDPOINTS = {"stem": "layer0", **{f"stage{i}": f"layer{i}" for i in (1, 2, 3, 4)}}


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
        "fields": {"fc_width": 32, "num_classes": 10, "stretch": True},
        "build": AlexNet2012,
        "flatten": {"classifier.0": (256, 6, 6)},
        "endpoints": sequence(conv1=1, conv2=5, conv3=9, conv4=11, conv5=13, pool5=14),
        "images": (2, 131, 131, 3),
        "train": True,
    },
    "squeezenet1_0": {
        "model": "squeezenet1_0",
        "build": torchvision.models.squeezenet1_0,
        "endpoints": sequence(stem=1, stage1=5, stage2=10, stage3=12),
    },
    "squeezenet1_1": {
        "model": "squeezenet1_1",
        "build": torchvision.models.squeezenet1_1,
        "endpoints": sequence(stem=1, stage1=4, stage2=7, stage3=12),
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
    "mobilenet_v1": {
        "model": "mobilenet_v1",
        "build": lambda: timm.create_model("mobilenetv1_100", act_layer=nn.ReLU),
        "endpoints": {f"stage{i + 1}": f"blocks.{i}" for i in range(5)},
        "images": (4, 128, 128, 3),
        "train": True,
        "ties": True,
    },
    "mobilenet_v2": {
        "model": "mobilenet_v2",
        "build": torchvision.models.mobilenet_v2,
        "endpoints": sequence(stage1=1, stage2=3, stage3=6, stage4=13, stage5=17, last=18),
        "images": (4, 64, 64, 3),
        "train": True,
        "ties": True,
        "slow": True,
    },
    "mobilenet_v2_short": {
        "model": "mobilenet_v2",
        "fields": {"blocks": [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]], "num_classes": 10},
        "build": lambda: torchvision.models.MobileNetV2(
            10, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]]
        ),
        "endpoints": sequence(stage1=1, stage2=3, stage3=4, last=5),
        "images": (4, 64, 64, 3),
        "train": True,
        "ties": True,
    },
    "resnext50_one_block_a_stage": {
        "model": "resnext50_32x4d",
        "fields": {"stages": [1, 1, 1, 1], "num_classes": 10},
        "build": lambda: ResNet(
            Bottleneck, [1, 1, 1, 1], num_classes=10, groups=32, width_per_group=4
        ),
        "endpoints": RESNET_ENDPOINTS,
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "wide_resnet50_one_block_a_stage": {
        "model": "wide_resnet50_2",
        "fields": {"stages": [1, 1, 1, 1], "num_classes": 10},
        "build": lambda: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10, width_per_group=128),
        "endpoints": RESNET_ENDPOINTS,
    },
    "wrn_16_2": {
        "model": "wrn_16_8",
        "fields": {"width": 2},
        "build": lambda: wide_resnet(2, 2),
        "endpoints": {"stem": "0", "stage1": "2", "stage2": "4", "stage3": "8"},
        "images": (4, 32, 32, 3),
        "train": True,
    },
    "se_resnet_one_block_a_stage": {
        "model": "se_resnet50",
        "fields": {"stages": [1, 1, 1, 1], "num_classes": 10},
        "build": lambda: senet.SENet(
            senet.SEResNetBottleneck,
            (1, 1, 1, 1),
            groups=1,
            reduction=16,
            num_classes=10,
            drop_rate=0.0,
        ),
        "endpoints": SE_ENDPOINTS,
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "senet154_one_block_a_stage": {
        "model": "senet154",
        "fields": {"stages": [1, 1, 1, 1], "num_classes": 10},
        "build": lambda: senet.SENet(
            senet.SEBottleneck,
            (1, 1, 1, 1),
            groups=64,
            reduction=16,
            inplanes=128,
            input_3x3=True,
            downsample_kernel_size=3,
            downsample_padding=1,
            num_classes=10,
            drop_rate=0.0,
        ),
        "endpoints": SE_ENDPOINTS,
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "densenet_two_layers_a_block": {
        "model": "densenet121",
        "fields": {"stages": [2, 2, 2, 2], "num_classes": 10},
        "build": lambda: torchvision.models.DenseNet(32, (2, 2, 2, 2), 64, num_classes=10),
        "endpoints": {
            "stem": "features.relu0",
            **{f"stage{i}": f"features.denseblock{i}" for i in (1, 2, 3)},
        },
        "images": (4, 64, 64, 3),
        "train": True,
    },
    "densenet121": {
        "model": "densenet121",
        "build": torchvision.models.densenet121,
        "endpoints": {f"stage{i}": f"features.denseblock{i}" for i in (1, 2, 3)},
        "slow": True,
    },
    "googlenet_bn": {
        "model": "googlenet_bn",
        "fields": {"num_classes": 10},
        "build": lambda: torchvision.models.googlenet(
            aux_logits=False, init_weights=False, num_classes=10
        ),
        "endpoints": {
            "conv1": "conv1",
            "conv2": "conv3",
            "inception3b": "inception3b",
            "inception4e": "inception4e",
            "inception5b": "inception5b",
        },
    },
    "inception_v3": {
        "model": "inception_v3",
        "fields": {"num_classes": 10},
        "build": lambda: torchvision.models.inception_v3(
            aux_logits=False, init_weights=False, num_classes=10
        ),
        "endpoints": {
            "stem1": "Conv2d_2b_3x3",
            "stem2": "Conv2d_4a_3x3",
            **{
                f"mixed{m}": f"Mixed_{m}"
                for m in ("5b", "5c", "5d", "6a", "6b", "6e", "7a", "7b", "7c")
            },
        },
        "images": (4, 107, 107, 3),
        "train": True,
        "ties": True,
    },
    "shufflenet_v2_x0_5": {
        "model": "shufflenet_v2_x0_5",
        "build": torchvision.models.shufflenet_v2_x0_5,
        "endpoints": {
            "stem": "conv1",
            **{f"stage{i}": f"stage{i}" for i in (2, 3, 4)},
            "last": "conv5",
        },
    },
    "shufflenet_v2_one_unit_more": {
        "model": "shufflenet_v2_x0_5",
        "fields": {"stages": [2, 1, 1], "num_classes": 10},
        "build": lambda: torchvision.models.ShuffleNetV2(
            [2, 1, 1], [24, 48, 96, 192, 1024], num_classes=10
        ),
        "endpoints": {"stem": "conv1", "stage4": "stage4"},
        "images": (4, 64, 64, 3),
        "train": True,
    },
    **torch_cases_more.CASES,
}
