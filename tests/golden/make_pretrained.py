"""Make pretrained_names.json.gz: what PyTorch's libraries call their tensors, and their shapes.

    python tests/golden/make_pretrained.py PATH/pretrainedmodels

Ran with torch 2.13.0, torchvision 0.28.0, timm 1.0.31 and the source of pretrainedmodels 0.7.4
(Cadene; its folder is the argument). No values are stored: only names and shapes of the networks
that the registry says it reads, made on the "meta" device ("models"); and, of each case of
torch_cases.py that a library defines, the names of its layers in the order of their calls, so
that a state dict of seeded values can be written in PyTorch's layout ("cases"); and the mean and
standard deviation, of images in [0, 1], that each library states for its weights ("statistics").
"""

import gzip
import importlib
import inspect
import json
import sys
import types
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import make_torch_networks  # noqa: E402
import seeded  # noqa: E402
import timm  # noqa: E402
import torch_cases  # noqa: E402
import torch_cases_more  # noqa: E402
import torchvision  # noqa: E402

# Our name → libraries' names, where they differ from ours.
SAME = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
SAME += ["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
SAME += ["densenet121", "densenet161", "densenet169", "densenet201", "inception_v3"]
SAME += ["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"]
SAME += ["wide_resnet50_2", "wide_resnet101_2"]
TORCHVISION = {
    **{name: name for name in SAME},
    **{name: name for name in ("squeezenet1_0", "squeezenet1_1", "mobilenet_v2")},
    **{f"shufflenet_v2_x{w}": f"shufflenet_v2_x{w}" for w in ("0_5", "1_0", "1_5", "2_0")},
    "alexnet_2014": "alexnet",
    "googlenet_bn": "googlenet",
}
SE = ["resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x4d"]
TIMM = {
    **{name: name for name in SAME},
    **{f"se_{name}": f"legacy_se{name}" for name in SE},
    "senet154": "legacy_senet154",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "nasnet_a_large": "nasnetalarge",
}
# Ours → module and function.
CADENE = {
    "bn_inception": ("bninception", "bninception"),
    "nasnet_a_large": ("nasnet", "nasnetalarge"),
    "nasnet_a_mobile": ("nasnet_mobile", "nasnetamobile"),
    "resnext101_32x4d": ("resnext", "resnext101_32x4d"),
    "senet154": ("senet", "senet154"),
    "se_resnet50": ("senet", "se_resnet50"),
    "se_resnext50_32x4d": ("senet", "se_resnext50_32x4d"),
}
# Networks that torch_cases.py defines itself, under names of no library.
OWN = ("alexnet", "wrn_16_2", *torch_cases_more.CASES)


def shapes(model):
    return {
        name: list(value.shape)
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def layers(case):
    """Names of the layers with kernels and of the normalizations, in the order of their calls."""
    model = case["build"]().eval()
    batch, *image = case.get("images", (2, 64, 64, 3))
    x = torch.from_numpy(seeded.images(batch, *image).transpose(0, 3, 1, 2).copy())
    kernels, norms = make_torch_networks.leaves_in_call_order(model, x, case.get("order"))
    names = {module: name for name, module in model.named_modules()}
    return {
        "kernels": [[names[m], list(m.weight.shape), m.bias is not None] for m in kernels],
        "norms": [[names[m], m.num_features] for m in norms],
        "flatten": case.get("flatten", {}),
    }


def statistics_of_torchvision(name):
    """What the network's first convolution wants, its own transform_input included."""
    preset = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms()
    mean, std = torch.tensor(preset.mean), torch.tensor(preset.std)
    # Some builders turn this on where they load weights.
    if "transform_input" in inspect.getsource(getattr(torchvision.models, name)):
        network = getattr(torchvision.models, name)(init_weights=False, transform_input=True)
        black, white = (
            network._transform_input(((v - mean) / std)[None, :, None, None])[0, :, 0, 0]
            for v in (torch.zeros(3), torch.ones(3))
        )
        std = 1 / (white - black)
        mean = -black * std
    return [[round(float(v), 6) for v in values] for values in (mean, std)]


def statistics_of_timm(name):
    config = timm.get_pretrained_cfg(name)
    return [list(config.mean), list(config.std)]


def build_cadene(folder, name):
    """One of Cadene's networks, without the package's __init__, which asks for more libraries."""
    for package in ("pretrainedmodels", "pretrainedmodels.models"):
        module = types.ModuleType(package)
        module.__path__ = [str(Path(folder).parent / package.replace(".", "/"))]
        sys.modules.setdefault(package, module)
    file, function = CADENE[name]
    module = importlib.import_module(f"pretrainedmodels.models.{file}")
    return getattr(module, function)(num_classes=1000, pretrained=None)


def main(cadene):
    models = {}
    with torch.device("meta"):
        for ours, theirs in TORCHVISION.items():
            models[f"torchvision/{ours}"] = shapes(getattr(torchvision.models, theirs)())
        for ours, theirs in TIMM.items():
            models[f"timm/{ours}"] = shapes(timm.create_model(theirs))
        for ours in CADENE:
            models[f"cadene/{ours}"] = shapes(build_cadene(cadene, ours))
    cases = {name: layers(case) for name, case in torch_cases.CASES.items() if name not in OWN}
    statistics = {f"torchvision/{o}": statistics_of_torchvision(t) for o, t in TORCHVISION.items()}
    statistics |= {f"timm/{o}": statistics_of_timm(t) for o, t in TIMM.items()}
    table = {"models": models, "cases": cases, "statistics": statistics}
    text = json.dumps(table, separators=(",", ":"))
    (HERE / "pretrained_names.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(len(models), "networks,", len(cases), "cases")


if __name__ == "__main__":
    main(*sys.argv[1:])
