"""Check with PyTorch at hand what the test suite cannot: torch → file → here → file → torch.

    python tests/golden/check_pretrained_round_trip.py [PATH/pretrainedmodels]

For each network, random weights and statistics go through torch.save (zip, and the format before
1.6) and safetensors into `jaxnets.pretrained.load`; the logits of both frameworks are compared;
`save` writes them back, and PyTorch reads them with load_state_dict(strict=True) into a second
network whose every tensor must be bit-equal to the first's.

With the source of pretrainedmodels 0.7.4 (Cadene) as an argument its networks are checked as well.

Result with torch 2.13.0, torchvision 0.28.0, timm 1.0.31, jax 0.10.2 on a CPU: all 15 networks
bit-equal after the round trip, logits within 3.8e-06 of the largest logit; the same of Cadene's
four, logits within 7.7e-07.
"""

import sys
import tempfile
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
NETWORKS = {
    "resnet18": ("torchvision", lambda: tv.resnet18(), {}),
    "resnet50": ("timm", lambda: timm.create_model("resnet50"), {}),
    "resnext50_32x4d": ("torchvision", lambda: tv.resnext50_32x4d(), {}),
    "wide_resnet50_2": ("torchvision", lambda: tv.wide_resnet50_2(), {}),
    "vgg11_bn": ("torchvision", lambda: tv.vgg11_bn(), {}),
    "vgg11": ("timm", lambda: timm.create_model("vgg11"), {}),
    "alexnet_2014": ("torchvision", lambda: tv.alexnet(), {}),
    "squeezenet1_1": ("torchvision", lambda: tv.squeezenet1_1(), {}),
    "densenet121": ("torchvision", lambda: tv.densenet121(), {}),
    "googlenet_bn": (
        "torchvision",
        lambda: tv.googlenet(init_weights=False, transform_input=False),
        {"auxiliary": True},
    ),
    "inception_v3": (
        "torchvision",
        lambda: tv.inception_v3(init_weights=False, transform_input=False),
        {"auxiliary": True},
    ),
    "mobilenet_v1": ("timm", lambda: timm.create_model("mobilenetv1_100"), {}),
    "mobilenet_v2": ("timm", lambda: timm.create_model("mobilenetv2_100"), {}),
    "shufflenet_v2_x1_0": ("torchvision", lambda: tv.shufflenet_v2_x1_0(), {}),
    "se_resnext50_32x4d": ("timm", lambda: timm.create_model("legacy_seresnext50_32x4d"), {}),
}


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("running_mean"):
                tensor.normal_(0, 0.1, generator=generator)
    return model.eval()


def check(name, source, build, fields, folder):
    torch.manual_seed(0)
    first, second = randomise(build()), build()
    state, paths = first.state_dict(), [folder / f for f in ("w.pth", "w.th", "w.safetensors")]
    torch.save({"state_dict": state, "epoch": 1}, paths[0])
    parallel = {f"module.{key}": value for key, value in state.items()}
    torch.save(parallel, paths[1], _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, paths[2])
    loaded = [load(name, path, source=source, **fields) for path in paths]
    for _, variables in loaded[1:]:
        jax.tree.map(np.testing.assert_array_equal, variables, loaded[0][1])
    model, variables = loaded[0]
    # Cadene's networks pool a window of 7×7 at the end.
    side = {"inception_v3": 107}.get(name, 224 if source == "cadene" else 96)
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


def main(cadene=None):
    networks, worst = dict(NETWORKS), 0.0
    if cadene:
        networks = {
            name: ("cadene", lambda name=name: make_pretrained.build_cadene(cadene, name), {})
            for name in ("bn_inception", "nasnet_a_mobile", "resnext101_32x4d", "se_resnet50")
        }
    for name, (source, build, fields) in networks.items():
        with tempfile.TemporaryDirectory() as folder:
            error = check(name, source, build, fields, Path(folder))
        print(f"{name:22} {source:12} largest error of a logit {error:.1e} of the largest logit")
        worst = max(worst, float(error))
    print(f"{len(networks)} networks: every tensor bit-equal after the round trip, logits within")
    print(f"{worst:.1e} of the largest")


if __name__ == "__main__":
    main(*sys.argv[1:])
