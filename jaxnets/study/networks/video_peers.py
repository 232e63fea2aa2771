"""Video networks in plain PyTorch that torchvision lacks, to be timed beside ours.

Written as their PyTorch ports are: `torch.nn.Conv3d`, batch normalization and ReLU in place, and
nothing fused by hand. Their numbers of parameters are checked against the registry first.
"""

from typing import Any

from jaxnets.models.video.c3d import STAGES
from jaxnets.models.video.s3d import MODULES

DEPTHS = (3, 4, 6, 3)  # ResNet-50


def c3d() -> Any:
    """C3D for 487 classes.

    Returns:
        A ``torch.nn.Module`` for clips (N, 3, 16, 112, 112).
    """
    from torch import nn

    layers, width = [], 3
    for i, widths in enumerate(STAGES):
        for out in widths:
            layers += [nn.Conv3d(width, out, 3, padding=1), nn.ReLU(inplace=True)]
            width = out
        window = (1 if i == 0 else 2, 2, 2)
        layers.append(nn.MaxPool3d(window, window, ceil_mode=True))
    layers += [nn.Flatten(), nn.Linear(512 * 16, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    layers += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 487)]
    return nn.Sequential(*layers)


def i3d_rgb() -> Any:
    """I3D for RGB clips and 400 classes; poolings pad as TensorFlow's do.

    Returns:
        A ``torch.nn.Module`` for clips (N, 3, 64, 224, 224).
    """
    import torch
    from torch import nn

    def unit(width: int, out: int, kernel: int = 1) -> Any:
        conv = nn.Conv3d(width, out, kernel, padding=kernel // 2, bias=False)
        return nn.Sequential(conv, nn.BatchNorm3d(out, eps=1e-3), nn.ReLU(inplace=True))

    def pool(*window: int) -> Any:
        # One row behind: what "SAME" adds to an even side for stride 2.
        padded = [value for side in reversed(window) for value in (0, int(side == 3))]
        strides = tuple(2 if side > 1 else 1 for side in window)
        return nn.Sequential(nn.ConstantPad3d(padded, 0.0), nn.MaxPool3d(window, strides))

    class Inception(nn.Module):
        def __init__(self, width: int, widths: tuple[int, ...]):
            super().__init__()
            b0, b1_reduce, b1, b2_reduce, b2, b3 = widths
            cube = nn.MaxPool3d(3, 1, 1)
            self.branches = nn.ModuleList(
                [
                    unit(width, b0),
                    nn.Sequential(unit(width, b1_reduce), unit(b1_reduce, b1, 3)),
                    nn.Sequential(unit(width, b2_reduce), unit(b2_reduce, b2, 3)),
                    nn.Sequential(cube, unit(width, b3)),
                ]
            )

        def forward(self, x):
            return torch.cat([branch(x) for branch in self.branches], 1)

    class Head(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.pool, self.dropout = nn.AvgPool3d((2, 7, 7), 1), nn.Dropout()
            self.logits = nn.Conv3d(width, 400, 1)

        def forward(self, x):
            return self.logits(self.dropout(self.pool(x))).mean((2, 3, 4))

    stem = nn.Conv3d(3, 64, 7, 2, bias=False)
    layers = [nn.ConstantPad3d((2, 3) * 3, 0.0), stem, nn.BatchNorm3d(64, eps=1e-3)]
    layers += [nn.ReLU(inplace=True), pool(1, 3, 3), unit(64, 64), unit(64, 192, 3)]
    pools, width = {"3b": (1, 3, 3), "4b": (3, 3, 3), "5b": (2, 2, 2)}, 192
    for place, widths in MODULES:
        if place in pools:
            layers.append(pool(*pools[place]))
        layers.append(Inception(width, widths))
        width = widths[0] + widths[2] + widths[4] + widths[5]
    return nn.Sequential(*layers, Head(width))


def slowfast_4x16_r50() -> Any:
    """SlowFast-50 with 4 and 32 frames for 400 classes.

    Returns:
        A ``torch.nn.Module`` for clips (N, 3, 32, 224, 224).
    """
    import torch
    from torch import nn

    def unit(width: int, out: int, kernel: Any, stride: Any = 1, relu: bool = True) -> Any:
        padding = tuple(side // 2 for side in kernel)
        conv = nn.Conv3d(width, out, kernel, stride, padding, bias=False)
        layers = [conv, nn.BatchNorm3d(out)]
        return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))

    class Bottleneck(nn.Module):
        def __init__(self, width: int, inner: int, out: int, frames: int, stride: int):
            super().__init__()
            self.body = nn.Sequential(
                unit(width, inner, (frames, 1, 1)),
                unit(inner, inner, (1, 3, 3), (1, stride, stride)),
                unit(inner, out, (1, 1, 1), relu=False),
            )
            changes = stride > 1 or width != out
            strides = (1, stride, stride)
            self.shortcut = unit(width, out, (1, 1, 1), strides, False) if changes else None
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            shortcut = x if self.shortcut is None else self.shortcut(x)
            return self.relu(self.body(x) + shortcut)

    def stage(width: int, inner: int, depth: int, frames: int, stride: int) -> Any:
        first = Bottleneck(width, inner, 4 * inner, frames, stride)
        rest = [Bottleneck(4 * inner, inner, 4 * inner, frames, 1) for _ in range(depth - 1)]
        return nn.Sequential(first, *rest)

    def stem(out: int, frames: int) -> Any:
        pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        return nn.Sequential(unit(3, out, (frames, 7, 7), (1, 2, 2)), pool)

    class SlowFast(nn.Module):
        def __init__(self):
            super().__init__()
            self.slow = nn.ModuleList([stem(64, 1)])
            self.fast = nn.ModuleList([stem(8, 5)])
            self.fuse = nn.ModuleList()
            slow, fast = 64, 8
            for i, depth in enumerate(DEPTHS):
                self.fuse.append(unit(fast, 2 * fast, (5, 1, 1), (8, 1, 1)))
                stride, inner = min(1 + i, 2), 2**i
                frames = 1 if i < 2 else 3
                self.slow.append(stage(slow + 2 * fast, 64 * inner, depth, frames, stride))
                self.fast.append(stage(fast, 8 * inner, depth, 3, stride))
                slow, fast = 256 * inner, 32 * inner
            self.dropout, self.head = nn.Dropout(), nn.Linear(slow + fast, 400)

        def forward(self, x):
            frames = torch.linspace(0, x.shape[2] - 1, x.shape[2] // 8).long()
            slow, fast = self.slow[0](x[:, :, frames]), self.fast[0](x)
            for i, fuse in enumerate(self.fuse):
                slow = self.slow[i + 1](torch.cat((slow, fuse(fast)), 1))
                fast = self.fast[i + 1](fast)
            pooled = torch.cat((slow.mean((2, 3, 4)), fast.mean((2, 3, 4))), 1)
            return self.head(self.dropout(pooled))

    return SlowFast()


# By our name of the network.
NETWORKS = {"c3d": c3d, "i3d_rgb": i3d_rgb, "slowfast_4x16_r50": slowfast_4x16_r50}
