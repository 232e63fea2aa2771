"""Check with PyTorch at hand what the test suite cannot: torch → file → here → file → torch.

    python tests/golden/check_pretrained_round_trip.py [PATH/pretrainedmodels] [--match REGEX]

For each network, random weights and statistics go through torch.save (zip, and the format before
1.6) and safetensors into `jaxnets.pretrained.load`; the logits of both frameworks are compared;
`save` writes them back, and PyTorch reads them with load_state_dict(strict=True) into a second
network whose every tensor must be bit-equal to the first's.

With the source of pretrainedmodels 0.7.4 (Cadene) as an argument its networks are checked as well.

Result with torch 2.13.0, torchvision 0.28.0, timm 1.0.31, jax 0.10.2 on a CPU, with --match: all
71 (32 networks of torchvision, 32 of timm, 7 of Cadene's) bit-equal after the round trip, logits
within 4.4e-06 of the largest; timm's NASNet-A large with the average poolings of the released one.
"""

import argparse
import re
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import numpy as np
import safetensors.torch
import timm
import torch
import torchvision

from jaxnets.pretrained import load, save

sys.path.insert(0, str(Path(__file__).parent))
import make_pretrained

tv = torchvision.models
# The default: one of each family, from one library.
SOME = (
    "torchvision/resnet18",
    "timm/resnet50",
    "torchvision/resnext50_32x4d",
    "torchvision/wide_resnet50_2",
    "torchvision/vgg11_bn",
    "timm/vgg11",
    "torchvision/alexnet_2014",
    "torchvision/squeezenet1_1",
    "torchvision/densenet121",
    "torchvision/googlenet_bn",
    "torchvision/inception_v3",
    "timm/mobilenet_v1",
    "timm/mobilenet_v2",
    "torchvision/shufflenet_v2_x1_0",
    "timm/se_resnext50_32x4d",
)
# Two more classifiers that only torchvision's files have.
WITH_AUXILIARY = ("googlenet", "inception_v3")


def torchvision_network(theirs):
    options = {"init_weights": False, "transform_input": False}
    return getattr(tv, theirs)(**(options if theirs in WITH_AUXILIARY else {}))


def networks(cadene):
    """Every pair of a library and a network that both have → (builder, fields of ours)."""
    table = {}
    for ours, theirs in make_pretrained.TORCHVISION.items():
        fields = {"auxiliary": True} if theirs in WITH_AUXILIARY else {}
        table[f"torchvision/{ours}"] = (partial(torchvision_network, theirs), fields)
    for ours, theirs in make_pretrained.TIMM.items():
        table[f"timm/{ours}"] = (partial(timm.create_model, theirs), {})
    if cadene:
        for ours in make_pretrained.CADENE:
            table[f"cadene/{ours}"] = (partial(make_pretrained.build_cadene, cadene, ours), {})
    return table


class AverageOfTheImage(torch.nn.Module):
    """An average pooling that leaves its padding out, as the released NASNet's does.

    timm pads before it pools where the stride is 2, so that the zeros count in the border.
    """

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, x):
        return self.pool(x) / self.pool(torch.ones_like(x[:, :1]))


def without_padding(model):
    """Exchange the padded average poolings of timm's NASNet."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "AvgPool2dSame":
                setattr(module, name, AverageOfTheImage(child))
    return model


def randomize(model):
    generator = torch.Generator().manual_seed(0)
    state = model.state_dict()
    # Where each of fifty blocks doubles the variance, gates saturate, and rounding decides them:
    # PyTorch's own float32 logits of se_resnet101 were 1.6e-3 off its float64 ones.
    gated = any(".se_module." in name for name in state)
    with torch.no_grad():
        for name, tensor in state.items():
            if gated and name.endswith(".bn3.weight"):
                tensor.uniform_(0.1, 0.3, generator=generator)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("running_mean"):
                tensor.normal_(0, 0.1, generator=generator)
    return model.eval()


def side_of(name, source):
    """Height and width of the images: small, as far as the network and its library permit."""
    if name == "inception_v3":
        return 107
    if (source, name) == ("cadene", "nasnet_a_large"):
        return 331
    # Cadene's networks pool a window of 7×7 at the end.
    return 224 if source == "cadene" else 96


def check(name, source, build, fields, folder):
    torch.manual_seed(0)
    first, second = randomize(build()), build()
    if (source, name) == ("timm", "nasnet_a_large"):
        first = without_padding(first)
    state, paths = first.state_dict(), [folder / "w.safetensors"]
    safetensors.torch.save_file(state, paths[0])
    if f"{source}/{name}" in SOME or source == "cadene":
        paths += [folder / "w.pth", folder / "w.th"]
        torch.save({"state_dict": state, "epoch": 1}, paths[1])
        parallel = {f"module.{key}": value for key, value in state.items()}
        torch.save(parallel, paths[2], _use_new_zipfile_serialization=False)
    loaded = [load(name, path, source=source, **fields) for path in paths]
    for _, variables in loaded[1:]:
        jax.tree.map(np.testing.assert_array_equal, variables, loaded[0][1])
    model, variables = loaded[0]
    side = side_of(name, source)
    images = np.random.RandomState(0).standard_normal((2, side, side, 3)).astype(np.float32)
    ours = np.asarray(jax.jit(model.apply)(variables, images))
    with torch.no_grad():
        theirs = first(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < 1e-4, (name, error)
    back = folder / "back.safetensors"
    save(name, variables, back, source=source, **fields)
    second.load_state_dict(safetensors.torch.load_file(back), strict=True)
    for key, value in second.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, state[key]), (name, key)
    return error


def main(cadene, match):
    table, worst, count = networks(cadene), 0.0, 0
    for key, (build, fields) in table.items():
        source, name = key.split("/")
        wanted = re.search(match, key) if match else key in SOME or source == "cadene"
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            error = check(name, source, build, fields, Path(folder))
        jax.clear_caches()
        count, worst = count + 1, max(worst, float(error))
        print(f"{key:32} largest error of a logit {error:.1e} of the largest logit", flush=True)
    print(f"{count} networks: every tensor bit-equal after the round trip, logits within")
    print(f"{worst:.1e} of the largest")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("cadene", nargs="?", help="PATH/pretrainedmodels")
    parser.add_argument(
        "--match", help="regular expression of LIBRARY/NETWORK; '' has one a family"
    )
    main(**vars(parser.parse_args()))
