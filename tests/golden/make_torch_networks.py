"""Make torch_networks.npz and .json: what PyTorch's networks compute with seeded parameters.

    python tests/golden/make_torch_networks.py [CASE…]

Ran with torch 2.13.0, torchvision 0.28.0, timm 1.0.31, pytorchcv 0.0.74 on a CPU. Every layer gets
the values of `seeded.py` by the order of the calls. The passes are in float64. Of each case are
stored, in float32: the first logits, of each named feature map its norm and a corner, and, where
the case trains, the loss, the norm of the gradient of every kernel, bias and normalization, the
norms of the updated running statistics, and, where it matters, how far rounding moves the norms
of the gradients.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import seeded  # noqa: E402
import torch_cases  # noqa: E402


def leaves_in_call_order(model, x, order=None):
    """Layers with a kernel, and normalizations, each in the order of their first call.

    In training mode, so that auxiliary classifiers are among them. ``order``: a sort key of the
    layers' names, where another order is wanted.
    """
    kernels, norms = [], []

    def hook(module, *_):
        known = norms if isinstance(module, nn.modules.batchnorm._BatchNorm) else kernels
        if not any(module is m for m in known):
            known.append(module)

    wanted = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, wanted)]
    training = model.training
    with torch.no_grad():
        model.train()(x)
    model.train(training)
    for handle in handles:
        handle.remove()
    if order is not None:
        names = {module: name for name, module in model.named_modules()}
        kernels, norms = (sorted(ms, key=lambda m: order(names[m])) for ms in (kernels, norms))
    return kernels, norms


def to_torch(kernel, module, flattened):
    """(h, w, in, out) to PyTorch's layout; ``flattened`` (C, H, W): what a Linear flattens."""
    if isinstance(module, nn.Conv2d):
        return kernel.transpose(3, 2, 0, 1)
    if flattened:
        c, h, w = flattened
        return kernel.reshape(h, w, c, -1).transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)
    return kernel.T


def fill(model, x, flatten, order):
    kernels, norms = leaves_in_call_order(model, x, order)
    names = {module: name for name, module in model.named_modules()}
    with torch.no_grad():
        for i, m in enumerate(kernels):
            out, rest = m.weight.shape[0], m.weight.shape[1:]
            shape = (*rest[1:], rest[0], out) if isinstance(m, nn.Conv2d) else (rest[0], out)
            value = to_torch(seeded.kernel(i, shape), m, flatten.get(names[m]))
            m.weight.copy_(torch.from_numpy(np.ascontiguousarray(value)))
            if m.bias is not None:
                m.bias.copy_(torch.from_numpy(seeded.bias(i, out)))
        for i, m in enumerate(norms):
            values = seeded.norm(i, m.num_features)
            m.weight.copy_(torch.from_numpy(values["scale"]))
            m.bias.copy_(torch.from_numpy(values["bias"]))
            m.running_mean.copy_(torch.from_numpy(values["mean"]))
            m.running_var.copy_(torch.from_numpy(values["var"]))
    return kernels, norms


def norm_of(tensor):
    return float(torch.linalg.vector_norm(tensor.detach().double()))


def training_pass(model, x, kernels, norms):
    """The loss and the norms of the gradients."""
    model.zero_grad()
    outputs = model(x)
    logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
    labels = torch.from_numpy(seeded.labels(len(x), logits.shape[1]))
    cost = nn.functional.cross_entropy
    # The weight of GoogLeNet's auxiliary classifiers.
    loss = cost(logits, labels) + 0.3 * sum(cost(head, labels) for head in heads)
    loss.backward()
    return {
        "loss": loss.item(),
        "grad/kernel": [norm_of(m.weight.grad) for m in kernels],
        "grad/bias": [norm_of(m.bias.grad) for m in kernels if m.bias is not None],
        "grad/norm_scale": [norm_of(m.weight.grad) for m in norms],
        "grad/norm_bias": [norm_of(m.bias.grad) for m in norms],
    }


def effect_of_rounding(model, x, kernels, norms, exact, sums=False, draws=3):
    """How far relative noise of 2⁻²³ on what every layer gives moves the norms of the gradients.

    The largest relative change of a norm of at least a hundredth of the largest, in a few draws. A
    ReLU whose input is zero but for rounding, and a maximum of two equal values, choose by it.

    sums: a sum of K terms rounds K times, so that a convolution's noise is √K as large and relative
    to the root mean square of all that it gives: the terms are as large where they cancel.
    """
    generator = torch.Generator().manual_seed(0)

    def rounded(module, inputs, output):
        noise = torch.randn(output.shape, generator=generator, dtype=output.dtype)
        if not (sums and isinstance(module, nn.Conv2d | nn.Linear)):
            return output * (1 + 2**-23 * noise)
        size = module.weight[0].numel() ** 0.5 * output.square().mean().sqrt()
        return output + 2**-23 * size * noise

    layers = [m for m in model.modules() if not [*m.children()]]
    handles = [m.register_forward_hook(rounded) for m in layers]
    largest = 0.0
    for _ in range(draws):
        for key, values in training_pass(model, x, kernels, norms).items():
            values, expected = np.atleast_1d(values), np.atleast_1d(exact[key])
            large = expected >= 0.01 * expected.max(initial=0)
            change = np.abs(values / np.where(large, expected, 1) - 1)[large]
            largest = max(largest, change.max(initial=0))
    for handle in handles:
        handle.remove()
    return largest


def run(case):
    torch.manual_seed(0)
    model = case["build"]().eval()
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    batch, *image = case.get("images", (2, 64, 64, 3))
    x = torch.from_numpy(seeded.images(batch, *image).transpose(0, 3, 1, 2).copy())
    kernels, norms = fill(model, x, case.get("flatten", {}), case.get("order"))
    model, x = model.double(), x.double()
    out, maps = {}, {}

    def keep(endpoint):
        def hook(module, inputs, output):
            maps.setdefault(endpoint, output.detach().clone())

        return hook

    modules = dict(model.named_modules())
    handles = [
        modules[path].register_forward_hook(keep(name))
        for name, path in case.get("endpoints", {}).items()
    ]
    with torch.no_grad():
        logits = model(x)
    for handle in handles:
        handle.remove()
    out["logits"] = logits[:, :16].numpy()
    for name, value in maps.items():
        nhwc = value.permute(0, 2, 3, 1) if value.ndim == 4 else value
        out[f"norm/{name}"] = norm_of(value)
        out[f"corner/{name}"] = nhwc[0, :3, :3, :8].numpy() if value.ndim == 4 else nhwc[0, :16]
    if case.get("train"):
        out |= training_pass(model.train(), x, kernels, norms)
        out["stats/mean"] = [norm_of(m.running_mean) for m in norms]
        out["stats/var"] = [norm_of(m.running_var) for m in norms]
        if case.get("ties"):
            sums = case["ties"] == "sums"
            out["rounding"] = effect_of_rounding(model, x, kernels, norms, out, sums)
    return {key: np.asarray(value, np.float32) for key, value in out.items()}


def main(names):
    stored, cases = HERE / "torch_networks.npz", HERE / "torch_networks.json"
    arrays = dict(np.load(stored)) if stored.exists() and names else {}
    table = json.loads(cases.read_text()) if cases.exists() and names else {}
    for name, case in torch_cases.CASES.items():
        if names and name not in names:
            continue
        arrays = {k: v for k, v in arrays.items() if not k.startswith(f"{name}/")}
        arrays |= {f"{name}/{key}": value for key, value in run(case).items()}
        table[name] = {
            "model": case["model"],
            "fields": case.get("fields", {}),
            "images": case.get("images", (2, 64, 64, 3)),
            "train": bool(case.get("train")),
            "slow": bool(case.get("slow")),
        }
        print(name, flush=True)
    np.savez_compressed(stored, **arrays)
    lines = [f"  {json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table)]
    cases.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
