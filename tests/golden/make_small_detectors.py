"""Make small_detectors.npz and small_detector_names.json.gz: FastestDet and slim-320 in PyTorch.

    python tests/golden/make_small_detectors.py

Ran with torch 2.13.0 on a CPU, in float64. The networks are stated here once more, layer by layer,
with the names that the published state dicts have. Every tensor gets the values that
`named_values.py` makes of its name. Stored are names and shapes, and every n-th number of what the
networks give for two images.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import named_values  # noqa: E402


def conv(before, after, kernel, stride=1, groups=1, bias=False):
    return nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=bias)


def normalized(*layers):
    """Convolutions, each followed by a normalization and, where said, by a ReLU."""
    made = []
    for layer, active in layers:
        made += [layer, nn.BatchNorm2d(layer.out_channels)] + [nn.ReLU()] * active
    return nn.Sequential(*made)


def holder(**parts):
    """A module with these parts by name."""
    module = nn.Module()
    for name, part in parts.items():
        setattr(module, name, part)
    return module


class Unit(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.stride, half = stride, after // 2
        inside = before if stride == 2 else half
        self.branch_main = normalized(
            (conv(inside, half, 1), True),
            (conv(half, half, 3, stride, half), False),
            (conv(half, half, 1), True),
        )
        if stride == 2:
            self.branch_proj = normalized(
                (conv(before, before, 3, 2, before), False), (conv(before, half, 1), True)
            )

    def forward(self, x):
        if self.stride == 2:
            return torch.cat([self.branch_proj(x), self.branch_main(x)], 1)
        return torch.cat([x[:, ::2], self.branch_main(x[:, 1::2])], 1)


class FastestDet(nn.Module):
    def __init__(self, classes=80):
        super().__init__()
        stages, before = {}, 24
        for i, (after, units) in enumerate(((48, 4), (96, 8), (192, 4)), start=2):
            rows = [Unit(before, after, 2)] + [Unit(after, after, 1) for _ in range(units - 1)]
            stages[f"stage{i}"], before = nn.Sequential(*rows), after
        self.backbone = holder(first_conv=normalized((conv(3, 24, 3, 2), True)), **stages)

        def wide():
            return conv(96, 96, 5, groups=96), True

        self.SPP = holder(
            Conv1x1=holder(conv1x1=normalized((conv(336, 96, 1), True))),
            **{f"S{i}": normalized(*(wide() for _ in range(i))) for i in (1, 2, 3)},
            output=normalized((conv(288, 96, 1), False)),
        )
        heads = {"obj": 1, "reg": 4, "cls": classes}
        self.detect_head = holder(
            conv1x1=holder(conv1x1=normalized((conv(96, 96, 1), True))),
            **{
                f"{name}_layers": holder(conv5x5=normalized(wide(), (conv(96, n, 1), False)))
                for name, n in heads.items()
            },
        )

    def forward(self, x):
        x = functional.max_pool2d(self.backbone.first_conv(x), 3, 2, 1)
        fine = self.backbone.stage2(x)
        middle = self.backbone.stage3(fine)
        coarse = self.backbone.stage4(middle)
        coarse = functional.interpolate(coarse, scale_factor=2, mode="nearest")
        x = torch.cat([functional.avg_pool2d(fine, 3, 2, 1), middle, coarse], 1)
        x = self.SPP.Conv1x1.conv1x1(x)
        y = torch.cat([self.SPP.S1(x), self.SPP.S2(x), self.SPP.S3(x)], 1)
        x = torch.relu(x + self.SPP.output(y))
        x = self.detect_head.conv1x1.conv1x1(x)
        names = ("obj", "reg", "cls")
        return [getattr(self.detect_head, f"{name}_layers").conv5x5(x) for name in names]


def separable(before, after, stride=1):
    return nn.Sequential(
        conv(before, before, 3, stride, before, bias=True),
        nn.ReLU(),
        conv(before, after, 1, bias=True),
    )


class SlimFace(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        rows = ((32, 1), (32, 2), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1))
        layers, before = [normalized((conv(3, 16, 3, 2), True))], 16
        for after, stride in (*rows, (128, 1), (256, 2), (256, 1)):
            depthwise = conv(before, before, 3, stride, before)
            layers.append(normalized((depthwise, True), (conv(before, after, 1), True)))
            before = after
        self.base_net = nn.Sequential(*layers)
        extra = nn.Sequential(
            conv(256, 64, 1, bias=True), nn.ReLU(), separable(64, 256, 2), nn.ReLU()
        )
        self.extras = nn.ModuleList([extra])
        for name, n in (("classification", classes), ("regression", 4)):
            heads = [separable(64, 3 * n), separable(128, 2 * n), separable(256, 2 * n)]
            heads.append(conv(256, 3 * n, 3, bias=True))
            setattr(self, f"{name}_headers", nn.ModuleList(heads))

    def forward(self, x):
        maps = []
        for i, layer in enumerate(self.base_net):
            x = layer(x)
            if i in (7, 10, 12):
                maps.append(x)
        maps.append(self.extras[0](x))
        found = []
        for heads, n in ((self.classification_headers, 2), (self.regression_headers, 4)):
            parts = [
                head(each).permute(0, 2, 3, 1).reshape(len(x), -1, n)
                for head, each in zip(heads, maps, strict=True)
            ]
            found.append(torch.cat(parts, 1))
        return found


def main():
    arrays, known = {}, {}
    cases = {"fastestdet": (FastestDet(), 64, 96), "ssd_slim_face": (SlimFace(), 240, 320)}
    for name, (model, height, width) in cases.items():
        shapes = {k: list(v.shape) for k, v in model.state_dict().items() if "num_batch" not in k}
        state = {k: torch.from_numpy(named_values.value(k, s)) for k, s in shapes.items()}
        model.load_state_dict(state, strict=False)
        images = named_values.images(2, height, width).transpose(0, 3, 1, 2).copy()
        with torch.no_grad():
            found = model.double().eval()(torch.from_numpy(images).double())
        for i, values in enumerate(found):
            values = values.permute(0, 2, 3, 1) if values.ndim == 4 else values
            flat = values.reshape(-1)
            kept = flat[:: max(1, len(flat) // 500)].numpy()
            arrays[f"{name}/{i}"] = kept.astype(np.float32)
            print(name, i, tuple(values.shape), float(np.abs(kept).max()))
        known[name] = shapes
    np.savez_compressed(HERE / "small_detectors.npz", **arrays)
    content = json.dumps(known, sort_keys=True).encode()
    (HERE / "small_detector_names.json.gz").write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main()
