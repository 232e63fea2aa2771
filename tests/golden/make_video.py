"""Make video.npz: logits of video networks with values that depend on the names of their tensors.

    python tests/golden/make_video.py

Ran with torch 2.13.0 and torchvision 0.28.0 on a CPU, in float64. torchvision's four networks are
its own, on small clips (its S3D's last average, 2×7×7, is taken over the whole map, which is the
same for the published size). The others are re-stated below from their papers and from the layer
names of PySlowFast, pytorch-i3d and mmaction2, in plain PyTorch, at reduced depths and widths:
`Net` makes a tensor where a layer first asks for it.
"""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import seeded_by_name as seeded  # noqa: E402


class Net:
    """Layers by name; `tensors` collects the state dict that they make."""

    def __init__(self):
        self.tensors = {}

    def tensor(self, name, *shape):
        if name not in self.tensors:
            self.tensors[name] = torch.tensor(seeded.value(name, shape)).double()
        return self.tensors[name]

    def conv(self, x, name, out, kernel, stride=1, padding=0, bias=False, dilation=1):
        w = self.tensor(f"{name}.weight", out, x.shape[1], *kernel)
        b = self.tensor(f"{name}.bias", out) if bias else None
        return F.conv3d(x, w, b, stride, padding, dilation)

    def linear(self, x, name, out):
        w = self.tensor(f"{name}.weight", out, x.shape[1])
        return F.linear(x, w, self.tensor(f"{name}.bias", out))

    def norm(self, x, name, eps=1e-5):
        c = x.shape[1]
        of = {k: self.tensor(f"{name}.{k}", c) for k in ("running_mean", "running_var")}
        weight, bias = (self.tensor(f"{name}.{k}", c) for k in ("weight", "bias"))
        return F.batch_norm(x, of["running_mean"], of["running_var"], weight, bias, eps=eps)


# ---- SlowFast and Slow, with PySlowFast's names --------------------------------------------------


def bottleneck(net, x, name, inner, out, t, stride, dilation=1):
    y = net.conv(x, f"{name}.branch2.a", inner, (t, 1, 1), 1, (t // 2, 0, 0))
    y = F.relu(net.norm(y, f"{name}.branch2.a_bn"))
    strides, d = (1, stride, stride), dilation
    y = net.conv(y, f"{name}.branch2.b", inner, (1, 3, 3), strides, (0, d, d), dilation=(1, d, d))
    y = F.relu(net.norm(y, f"{name}.branch2.b_bn"))
    y = net.norm(net.conv(y, f"{name}.branch2.c", out, (1, 1, 1)), f"{name}.branch2.c_bn")
    if stride != 1 or x.shape[1] != out:
        x = net.conv(x, f"{name}.branch1", out, (1, 1, 1), (1, stride, stride))
        x = net.norm(x, f"{name}.branch1_bn")
    return F.relu(x + y)


def non_local(net, x, name):
    inner = x.shape[1] // 2
    seen = F.max_pool3d(x, (1, 2, 2))
    theta = net.conv(x, f"{name}.conv_theta", inner, (1, 1, 1), bias=True).flatten(2)
    phi = net.conv(seen, f"{name}.conv_phi", inner, (1, 1, 1), bias=True).flatten(2)
    g = net.conv(seen, f"{name}.conv_g", inner, (1, 1, 1), bias=True).flatten(2)
    f = torch.softmax(torch.einsum("nct,ncp->ntp", theta, phi) * inner**-0.5, -1)
    y = torch.einsum("ntp,ncp->nct", f, g).reshape(len(x), inner, *x.shape[2:])
    y = net.conv(y, f"{name}.conv_out", x.shape[1], (1, 1, 1), bias=True)
    return x + net.norm(y, f"{name}.bn")


def stage(net, x, s, p, depth, width, kernel, nonlocals, dilation=1):
    i = s - 2
    for j in range(depth):
        name = f"s{s}.pathway{p}_res{j}"
        stride = 2 if i and j == 0 and dilation == 1 else 1
        out = width * 2 ** (i + 2)
        x = bottleneck(net, x, name, width * 2**i, out, kernel, stride, dilation)
        if j in nonlocals:
            x = non_local(net, x, f"s{s}.pathway{p}_nonlocal{j}")
    return x


def stem(net, x, p, width, t):
    x = net.conv(x, f"s1.pathway{p}_stem.conv", width, (t, 7, 7), (1, 2, 2), (t // 2, 3, 3))
    x = F.relu(net.norm(x, f"s1.pathway{p}_stem.bn"))
    return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


def slowfast(net, x, *, depths, width, alpha, k, nonlocals, boxes=None):
    slow = x[:, :, np.linspace(0, x.shape[2] - 1, x.shape[2] // alpha).astype(int)]
    xs = [stem(net, slow, 0, width, 1), stem(net, x, 1, width // 8, 5)]

    def fuse(s):
        y = net.conv(
            xs[1],
            f"s{s}_fuse.conv_f2s",
            2 * xs[1].shape[1],
            (k, 1, 1),
            (alpha, 1, 1),
            (k // 2, 0, 0),
        )
        xs[0] = torch.cat([xs[0], F.relu(net.norm(y, f"s{s}_fuse.bn"))], 1)

    fuse(1)
    for s in range(2, 6):
        temporal = (1, 1, 3, 3)[s - 2]
        d = 2 if s == 5 and boxes is not None else 1
        xs[0] = stage(net, xs[0], s, 0, depths[s - 2], width, temporal, nonlocals[s - 2], d)
        xs[1] = stage(net, xs[1], s, 1, depths[s - 2], width // 8, 3, (), d)
        if s < 5:
            fuse(s)
    if boxes is None:
        return net.linear(torch.cat([y.mean((2, 3, 4)) for y in xs], 1), "head.projection", 7)
    from torchvision.ops import roi_align

    # The actions of people: RoIAlign of PySlowFast's settings, 2×2 in place of 7×7 cells.
    given = list(torch.tensor(boxes).double())
    regions = [roi_align(y.mean(2), given, 2, 1 / 16, -1, aligned=True) for y in xs]
    y = torch.cat([region.amax((2, 3)) for region in regions], 1)
    return net.linear(y, "head.projection", 7).reshape(len(x), -1, 7)


def i3d_r50(net, x, *, depths, width, nonlocals):
    """Every second block of the later stages sees three frames; a maximum along time."""
    x = stem(net, x, 0, width, 5)
    kernels = ((3,), (3, 1), (3, 1), (1, 3))
    for s in range(2, 6):
        i = s - 2
        for j in range(depths[i]):
            t = kernels[i][j % len(kernels[i])]
            out, stride = width * 2 ** (i + 2), 2 if i and j == 0 else 1
            x = bottleneck(net, x, f"s{s}.pathway0_res{j}", width * 2**i, out, t, stride)
            if j in nonlocals[i]:
                x = non_local(net, x, f"s{s}.pathway0_nonlocal{j}")
        if s == 2:
            x = F.max_pool3d(x, (2, 1, 1))
    return net.linear(x.mean((2, 3, 4)), "head.projection", 7)


# ---- I3D, with pytorch-i3d's names ---------------------------------------------------------------

INCEPTION = {
    **{"3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64)},
    **{"4b": (192, 96, 208, 16, 48, 64), "4c": (160, 112, 224, 24, 64, 64)},
    **{"4d": (128, 128, 256, 24, 64, 64), "4e": (112, 144, 288, 32, 64, 64)},
    **{"4f": (256, 160, 320, 32, 128, 128), "5b": (256, 160, 320, 32, 128, 128)},
    "5c": (384, 192, 384, 48, 128, 128),
}


def same(x, kernel, stride):
    pads = []
    for n, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads = [total // 2, total - total // 2, *pads]
    return F.pad(x, pads)


def unit(net, x, name, out, kernel=(1, 1, 1), stride=(1, 1, 1)):
    x = net.conv(same(x, kernel, stride), f"{name}.conv3d", out, kernel, stride)
    return F.relu(net.norm(x, f"{name}.bn", 1e-3))


def i3d(net, x, *, width):
    w = lambda n: max(1, round(n * width))  # noqa: E731
    pool = lambda x, k, s: F.max_pool3d(same(x, k, s), k, s)  # noqa: E731
    x = unit(net, x, "Conv3d_1a_7x7", w(64), (7, 7, 7), (2, 2, 2))
    x = pool(x, (1, 3, 3), (1, 2, 2))
    x = unit(net, x, "Conv3d_2b_1x1", w(64))
    x = unit(net, x, "Conv3d_2c_3x3", w(192), (3, 3, 3))
    for place, widths in INCEPTION.items():
        if place == "3b":
            x = pool(x, (1, 3, 3), (1, 2, 2))
        elif place == "4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        elif place == "5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        name, (b0, b1a, b1b, b2a, b2b, b3b) = f"Mixed_{place}", [w(n) for n in widths]
        cube = (3, 3, 3)
        x = torch.cat(
            [
                unit(net, x, f"{name}.b0", b0),
                unit(net, unit(net, x, f"{name}.b1a", b1a), f"{name}.b1b", b1b, cube),
                unit(net, unit(net, x, f"{name}.b2a", b2a), f"{name}.b2b", b2b, cube),
                unit(net, pool(x, cube, (1, 1, 1)), f"{name}.b3b", b3b),
            ],
            1,
        )
    x = F.avg_pool3d(x, tuple(min(n, k) for n, k in zip(x.shape[2:], (2, 7, 7), strict=True)), 1)
    return net.conv(x, "logits.conv3d", 7, (1, 1, 1), bias=True).mean((2, 3, 4))


def c3d(net, x, *, stages, fc_width):
    for i, widths in enumerate(stages, start=1):
        for letter, out in zip("ab", widths, strict=False):
            name = f"backbone.conv{i}{letter}.conv"
            x = F.relu(net.conv(x, name, out, (3, 3, 3), 1, 1, bias=True))
        window = (1 if i == 1 else 2, 2, 2)
        x = F.max_pool3d(x, window, window, (0, 1, 1) if i == len(stages) else 0)
    x = F.relu(net.linear(x.flatten(1), "backbone.fc6", fc_width))
    x = F.relu(net.linear(x, "backbone.fc7", fc_width))
    return net.linear(x, "cls_head.fc_cls", 7)


# Registered name, fields of ours, function, its arguments, shape of the clip.
NON_LOCAL = ((), (1,), (0,), ())
C3D_STAGES = ((2,), (3,), (4, 4), (4,), (6,))
BOXES = (((0, 0, 90, 60), (20, 5, 33.5, 64)), ((1, 2, 10, 20), (40, 30, 96, 50)))
CASES = {
    "ava": (
        "ava_slowfast_8x8_r50",
        {"output_size": 2},
        lambda net, x: slowfast(
            net, x, depths=(1, 1, 1, 2), width=16, alpha=4, k=7, nonlocals=((),) * 4, boxes=BOXES
        ),
        (2, 8, 64, 96, 3),
    ),
    "slowfast": (
        "slowfast_4x16_r50",
        {"stages": (1, 2, 1, 1), "width": 16, "alpha": 4, "non_local": NON_LOCAL},
        lambda net, x: slowfast(
            net, x, depths=(1, 2, 1, 1), width=16, alpha=4, k=5, nonlocals=NON_LOCAL
        ),
        (2, 8, 32, 36, 3),
    ),
    "i3d_r50": (
        "i3d_nln_8x8_r50",
        {"stages": (1, 2, 2, 1), "width": 4, "non_local": NON_LOCAL},
        lambda net, x: i3d_r50(net, x, depths=(1, 2, 2, 1), width=4, nonlocals=NON_LOCAL),
        (2, 4, 32, 40, 3),
    ),
    "i3d": (
        "i3d_flow",
        {"width": 0.125},
        lambda net, x: i3d(net, x, width=0.125),
        (2, 9, 40, 33, 2),
    ),
    "c3d": (
        "c3d",
        {"stages": C3D_STAGES, "fc_width": 8},
        lambda net, x: c3d(net, x, stages=C3D_STAGES, fc_width=8),
        (2, 16, 112, 112, 3),
    ),
}
TORCHVISION = {
    "r3d_18": (2, 5, 24, 20, 3),
    "mc3_18": (2, 5, 24, 20, 3),
    "r2plus1d_18": (2, 5, 24, 20, 3),
    "s3d": (2, 9, 40, 32, 3),
}


def torchvision_logits(name, x):
    from torchvision.models import video

    model = getattr(video, name)().double().eval()
    if name == "s3d":
        model.avgpool = torch.nn.AdaptiveAvgPool3d(1)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("batches_tracked")}
    made = {k: torch.tensor(seeded.value(k, v.shape)).double() for k, v in state.items()}
    model.load_state_dict(made, strict=False)
    return made, model(x)


def main():
    with contextlib.suppress(ImportError):
        import tvshim  # noqa: F401  (where torchvision's wheel is a CUDA build)
    out = {}
    cases = {name: (name, {}, None, shape) for name, shape in TORCHVISION.items()} | CASES
    for case, (name, fields, function, shape) in cases.items():
        x = torch.tensor(seeded.clip(shape)).double().permute(0, 4, 1, 2, 3)
        with torch.no_grad():
            if function is None:
                tensors, logits = torchvision_logits(name, x)
            else:
                net = Net()
                tensors, logits = net.tensors, function(net, x)
        out[f"{case}/logits"] = logits.numpy().astype(np.float32)
        about = {"model": name, "fields": fields, "clip": shape}
        about |= {"boxes": BOXES} if case == "ava" else {}
        about["tensors"] = {k: list(v.shape) for k, v in tensors.items()}
        out[f"{case}/about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        print(case, len(tensors), logits.flatten()[:3].tolist())
    np.savez_compressed(HERE / "video.npz", **out)


if __name__ == "__main__":
    main()
