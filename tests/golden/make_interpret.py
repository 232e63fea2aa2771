"""Make interpret.npz: what captum finds in PyTorch's networks with seeded parameters.

    python tests/golden/make_interpret.py

Ran with torch 2.13.0, torchvision 0.28.0, captum 0.9.0 on a CPU. Every layer gets the values of
`seeded.py` by the order of the calls; passes are in float64. Of maps of pixels every third row and
column is stored, in float32.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from captum.attr import (
    Deconvolution,
    GuidedBackprop,
    IntegratedGradients,
    LayerGradCam,
    Occlusion,
    Saliency,
)
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import seeded  # noqa: E402

TARGETS, WINDOW, STRIDE, STEPS = [3, 7], 20, 9, 10


def vgg11():
    model = torchvision.models.vgg11(num_classes=10)
    model.classifier = nn.Sequential(
        *[nn.Linear(512 * 49, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)]
    )
    return model


# Network, the layer for Grad-CAM (the output of a stage), the Linear that follows a (C, H, W) map.
CASES = {
    "vgg11": (vgg11, "features.14", {"classifier.0": (512, 7, 7)}),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), "layer3", {}),
    "squeezenet1_1": (lambda: torchvision.models.squeezenet1_1(num_classes=10), "features.7", {}),
}


def fill(model, x, flatten):
    """Seeded values, by the order of the calls."""
    kernels, norms = [], []

    def hook(module, *_):
        (norms if isinstance(module, nn.BatchNorm2d) else kernels).append(module)

    wanted = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, wanted)]
    with torch.no_grad():
        model(x)
        for i, m in enumerate(kernels):
            out, rest = m.weight.shape[0], m.weight.shape[1:]
            conv = isinstance(m, nn.Conv2d)
            value = seeded.kernel(i, (*rest[1:], rest[0], out) if conv else (rest[0], out))
            names = {module: name for name, module in model.named_modules()}
            if conv:
                value = value.transpose(3, 2, 0, 1)
            elif names[m] in flatten:
                c, h, w = flatten[names[m]]
                value = value.reshape(h, w, c, -1).transpose(3, 2, 0, 1).reshape(out, -1)
            else:
                value = value.T
            m.weight.copy_(torch.from_numpy(np.ascontiguousarray(value)))
            if m.bias is not None:
                m.bias.copy_(torch.from_numpy(seeded.bias(i, out)))
        for i, m in enumerate(norms):
            values = seeded.norm(i, m.num_features)
            m.weight.copy_(torch.from_numpy(values["scale"]))
            m.bias.copy_(torch.from_numpy(values["bias"]))
            m.running_mean.copy_(torch.from_numpy(values["mean"]))
            m.running_var.copy_(torch.from_numpy(values["var"]))
    for handle in handles:
        handle.remove()


class Probabilities(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).softmax(-1)


def run(build, layer, flatten):
    model = build().eval()
    for m in model.modules():
        if isinstance(m, nn.ReLU):
            m.inplace = False
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    x = torch.from_numpy(seeded.images(2, 64, 64, 3).transpose(0, 3, 1, 2).copy())
    fill(model, x, flatten)
    model, x = model.double(), x.double().requires_grad_()
    target = torch.tensor(TARGETS)
    sliding = {"sliding_window_shapes": (3, WINDOW, WINDOW), "strides": (3, STRIDE, STRIDE)}
    pixels = {
        "saliency": Saliency(model).attribute(x, target, abs=False),
        "deconvnet": Deconvolution(model).attribute(x, target),
        "guided_backprop": GuidedBackprop(model).attribute(x, target),
        "integrated_gradients": IntegratedGradients(model).attribute(
            x, target=target, n_steps=STEPS, method="gausslegendre"
        ),
        "occlusion": Occlusion(Probabilities(model)).attribute(x, target=target, **sliding),
    }
    out = {k: v.detach().permute(0, 2, 3, 1)[:, ::3, ::3].numpy() for k, v in pixels.items()}
    out["occlusion"] = out["occlusion"][..., 0]
    module = dict(model.named_modules())[layer]
    out["grad_cam"] = LayerGradCam(model, module).attribute(x, target)[:, 0].detach().numpy()
    out["logits"] = model(x).detach().numpy()
    return {key: value.astype(np.float32) for key, value in out.items()}


if __name__ == "__main__":
    arrays = {}
    for name, case in CASES.items():
        arrays |= {f"{name}/{key}": value for key, value in run(*case).items()}
        print(name, flush=True)
    np.savez_compressed(HERE / "interpret.npz", **arrays)
