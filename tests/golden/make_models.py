"""Make models.json: the parameter and multiply-accumulate counts that the registry must have.

    python tests/golden/make_models.py PATH/oracles.json

Entries come from a table of counts of reference implementations (torchvision 0.28.0, timm 1.0.31,
pytorchcv 0.0.74, Cadene's pretrained-models, Caffe prototxts), or, where none exists, from the
layer formulas below, written out a second time without looking at the networks' code. ``source``
names the key of the table or the formula.
"""

import json
import sys
from pathlib import Path

# registered name → key of the table.
ORACLES = {
    "lenet5": "hand/lenet5_modern_fullC3",
    "resnet18": "tv/resnet18",
    "resnet34": "tv/resnet34",
    "resnet50": "tv/resnet50",
    "resnet101": "tv/resnet101",
    "resnet152": "tv/resnet152",
    "resnet101_v1": "cadene/cafferesnet101",
    **{f"vgg{d}{bn}": f"tv/vgg{d}{bn}" for d in (11, 13, 16, 19) for bn in ("", "_bn")},
    "vgg11_lrn": "tv/vgg11",
    "alexnet": "caffe/bvlc_alexnet",
    "alexnet_ungrouped": "hand/alexnet_ungrouped_227",
    "alexnet_2014": "tv/alexnet",
    "zfnet": "pytorchcv/zfnet",
    "zfnet_wide": "pytorchcv/zfnetb",
    "squeezenet1_0": "tv/squeezenet1_0",
    "squeezenet1_1": "tv/squeezenet1_1",
    "squeezenet1_0_paper": "caffe/squeezenet_v1.0",
    "squeezenet1_0_simple": "caffe/squeezenet_v1.0",
    "nin_cifar": "pytorchcv/nin_cifar10",
    "nin_imagenet": "hand/nin_imagenet_caffe",
    "plain18": "darknet/resnet18",
    "plain34": "darknet/resnet34",
}


def conv(size, kernel, channels_in, channels_out, bias=False, groups=1):
    """(parameters, macs) of a convolution whose output is size×size."""
    weights = kernel * kernel * (channels_in // groups) * channels_out
    return weights + (channels_out if bias else 0), weights * size * size


def total(*layers):
    return {"parameters": sum(p for p, _ in layers), "macs": sum(m for _, m in layers)}


def dense(n_in, n_out):
    return n_in * n_out + n_out, n_in * n_out


def norm(channels):
    return 2 * channels, 0


def cifar_resnet(n):
    """Option A: the shortcuts cost nothing."""
    layers = [conv(32, 3, 3, 16), norm(16)]
    for i, width in enumerate((16, 32, 64)):
        size, before = 32 >> i, width if i == 0 else width // 2
        for j in range(n):
            layers += [conv(size, 3, before if j == 0 else width, width), norm(width)]
            layers += [conv(size, 3, width, width), norm(width)]
    return total(*layers, dense(64, 10))


def bottleneck_resnet_v1(stages):
    """Stride in the first 1×1 convolution, option B."""
    layers, before = [conv(112, 7, 3, 64), norm(64)], 64
    for i, blocks in enumerate(stages):
        width, size = 64 << i, 56 >> i
        for j in range(blocks):
            layers += [conv(size, 1, before, width), norm(width), conv(size, 3, width, width)]
            layers += [norm(width), conv(size, 1, width, 4 * width), norm(4 * width)]
            if j == 0:
                layers += [conv(size, 1, before, 4 * width), norm(4 * width)]
            before = 4 * width
    return total(*layers, dense(2048, 1000))


def plain_resnet(stages):
    layers, before = [conv(112, 7, 3, 64), norm(64)], 64
    for i, blocks in enumerate(stages):
        for _ in range(2 * blocks):
            layers += [conv(56 >> i, 3, before, 64 << i), norm(64 << i)]
            before = 64 << i
    return total(*layers, dense(512, 1000))


def lenet5_1998():
    """Parameters of the paper; C3's multiplications as the dense convolution that runs it."""
    trainable = {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48_120, "F6": 10_164}
    macs = 28 * 28 * 25 * 6 + 100 * 25 * 6 * 16 + 25 * 16 * 120 + 120 * 84
    return {"parameters": sum(trainable.values()), "macs": macs}


def vgg16_c(table):
    """D with three kernels of 1×1 instead of 3×3."""
    counts = {"parameters": table["tv/vgg16"]["params"], "macs": 15_470_264_320}
    for size, width in ((56, 256), (28, 512), (14, 512)):
        counts["parameters"] -= 8 * width * width
        counts["macs"] -= 8 * width * width * size * size
    return counts


def squeezenet_complex(table):
    """A 1×1 convolution beside fire2, 4, 6, 8."""
    base = table["caffe/squeezenet_v1.0"]
    bypasses = total(
        conv(55, 1, 96, 128, bias=True),
        conv(55, 1, 128, 256, bias=True),
        conv(27, 1, 256, 384, bias=True),
        conv(27, 1, 384, 512, bias=True),
    )
    return {
        "parameters": base["params"] + bypasses["parameters"],
        "macs": base["macs"] + bypasses["macs"],
    }


# Formulas that start from an entry of the table: the entry and what is added.
DERIVED = {
    "vgg16_c": (vgg16_c, "tv/vgg16"),
    "squeezenet1_0_complex": (squeezenet_complex, "caffe/squeezenet_v1.0"),
}

FORMULAS = {
    "mlp": lambda: total(dense(784, 256), dense(256, 128), dense(128, 10)),
    "lenet5_1998": lenet5_1998,
    **{f"resnet{6 * n + 2}": lambda n=n: cifar_resnet(n) for n in (3, 5, 7, 9, 18, 200)},
    "resnet50_v1": lambda: bottleneck_resnet_v1((3, 4, 6, 3)),
    "resnet152_v1": lambda: bottleneck_resnet_v1((3, 8, 36, 3)),
}

# Formulas whose parameter count the table confirms.
CONFIRMED = {
    "lenet5_1998": "hand/lenet5_1998_paper",
    **{f"resnet{d}": f"hand/resnet{d}_cifar10_optA" for d in (20, 32, 44, 56, 110, 1202)},
    "resnet50_v1": "tv/resnet50",
    "resnet152_v1": "tv/resnet152",
}


def main(path):
    table = json.loads(Path(path).read_text())
    out = {}
    for name, key in ORACLES.items():
        entry = table[key]
        macs = entry.get("macs_conv_linear_eval", entry.get("macs"))
        out[name] = {"parameters": entry["params"], "macs": macs, "source": key}
        # Darknet counts its networks at 256×256 and its own head: the counts are the formula's.
        if key.startswith("darknet"):
            out[name] |= plain_resnet((2, 2, 2, 2) if name == "plain18" else (3, 4, 6, 3))
            assert out[name]["parameters"] == entry["params"], name
    for name, formula in FORMULAS.items():
        out[name] = {**formula(), "source": f"formula {formula.__name__}".strip()}
        if name in CONFIRMED:
            assert out[name]["parameters"] == table[CONFIRMED[name]]["params"], name
            out[name]["source"] = f"layer formula; parameters confirmed by {CONFIRMED[name]}"
        else:
            out[name]["source"] = "layer formula"
    for name, (formula, key) in DERIVED.items():
        out[name] = {**formula(table), "source": f"layer formula on top of {key}"}
    target = Path(__file__).with_name("models.json")
    lines = [f"  {json.dumps(name)}: {json.dumps(out[name])}" for name in sorted(out)]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{target}: {len(out)} networks")


if __name__ == "__main__":
    main(sys.argv[1])
