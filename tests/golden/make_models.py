"""Make models.json: the parameter and multiply-accumulate counts that the registry must have.

    python tests/golden/make_models.py PATH/oracles.json

Entries come from a table of counts of reference implementations (torchvision 0.28.0, timm 1.0.31,
pytorchcv 0.0.74, Cadene's pretrained-models, Caffe prototxts), or, where none exists, from the
layer formulas below, written a second time without looking at the networks' code. ``source``
names the key of the table or the formula.
"""

import json
import sys
from pathlib import Path

DETECTORS = (
    *("ssd300_vgg16", "ssdlite320_mobilenet_v3_large"),
    *("retinanet_resnet50_fpn", "fcos_resnet50_fpn"),
    *("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"),
    *("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"),
    *("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn"),
)

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
    "googlenet": "caffe/bvlc_googlenet",
    "googlenet_bn": "tv/googlenet",
    **{f"shufflenet_v1_g{g}": f"pytorchcv/shufflenet_g{g}_w1" for g in (1, 2, 3, 4, 8)},
    **{f"shufflenet_v2_x{w}": f"tv/shufflenet_v2_x{w}" for w in ("0_5", "1_0", "1_5", "2_0")},
    "bn_inception": "cadene/bninception",
    "se_bn_inception": "caffe/se_bn_inception",
    "inception_v3": "tv/inception_v3",
    "fractalnet": "pytorchcv/fractalnet_cifar10",
    "nasnet_a_large": "timm/nasnetalarge",
    "nin_cifar": "pytorchcv/nin_cifar10",
    "mobilenet_v1": "timm/mobilenetv1_100",
    "mobilenet_v1_075": "pytorchcv/mobilenet_w3d4",
    "mobilenet_v1_050": "pytorchcv/mobilenet_wd2",
    "mobilenet_v1_025": "pytorchcv/mobilenet_wd4",
    "mobilenet_v2": "tv/mobilenet_v2",
    "resnext50_32x4d": "tv/resnext50_32x4d",
    "resnext101_32x4d": "cadene/resnext101_32x4d",
    "resnext101_32x8d": "tv/resnext101_32x8d",
    "resnext101_64x4d": "tv/resnext101_64x4d",
    "wide_resnet50_2": "tv/wide_resnet50_2",
    "wide_resnet101_2": "tv/wide_resnet101_2",
    "wrn_28_10": "pytorchcv/wrn28_10_cifar10",
    "wrn_40_8": "pytorchcv/wrn40_8_cifar10",
    **{f"se_resnet{d}": f"cadene/se_resnet{d}" for d in (50, 101, 152)},
    **{f"se_resnext{d}_32x4d": f"cadene/se_resnext{d}_32x4d" for d in (50, 101)},
    "senet154": "cadene/senet154",
    **{f"densenet{d}": f"tv/densenet{d}" for d in (121, 161, 169, 201)},
    "densenet40_k12": "hand/densenet_cifar_L40_k12",
    "densenet100_k12": "hand/densenet_cifar_L100_k12",
    "densenet100_k24": "hand/densenet_cifar_L100_k24",
    "densenet100_k12_bc": "hand/densenet_cifar_L100_k12_BC",
    "densenet250_k24_bc": "hand/densenet_cifar_L250_k24_BC",
    "densenet190_k40_bc": "hand/densenet_cifar_L190_k40_BC",
    "nin_imagenet": "hand/nin_imagenet_caffe",
    **{name: f"tv/{name}" for name in DETECTORS},
    **{f"fcn_resnet{d}": f"tv/fcn_resnet{d}" for d in (50, 101)},
    **{f"deeplabv3_resnet{d}": f"tv/deeplabv3_resnet{d}" for d in (50, 101)},
    "deeplabv3_mobilenet_v3_large": "tv/deeplabv3_mobilenet_v3_large",
    "fast_rcnn_vgg16": "caffe/fast_rcnn_vgg16_voc_test",
    "overfeat_fast": "hand/overfeat_fast_231",
    "overfeat_accurate": "hand/overfeat_accurate_221",
    "yolov1": "hand/yolov1_paper_24conv_2fc",
    **{name.replace("-", "_"): f"darknet/{name}" for name in ("yolov2", "yolov3", "yolov3-tiny")},
    **{f"srcnn_9_{k}_5": f"hand/srcnn_9_{k}_5" for k in (1, 5)},
    "lraspp_mobilenet_v3_large": "tv/lraspp_mobilenet_v3_large",
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


def wide_resnet_cifar(depth, k):
    """Normalized before the convolutions; 1×1 shortcuts without normalization."""
    layers, before = [conv(32, 3, 3, 16)], 16
    for i, width in enumerate((16 * k, 32 * k, 64 * k)):
        size = 32 >> i
        for _ in range((depth - 4) // 6):
            layers += [norm(before), conv(size, 3, before, width), norm(width)]
            layers += [conv(size, 3, width, width)]
            layers += [conv(size, 1, before, width)] if before != width else []
            before = width
    return total(*layers, norm(before), dense(before, 10))


def densenet_imagenet(blocks, growth, channels):
    layers = [conv(112, 7, 3, channels), norm(channels)]
    for i, depth in enumerate(blocks):
        size = 56 >> i
        for _ in range(depth):
            layers += [norm(channels), conv(size, 1, channels, 4 * growth), norm(4 * growth)]
            layers += [conv(size, 3, 4 * growth, growth)]
            channels += growth
        layers += [norm(channels)]
        if i < 3:
            layers += [conv(size, 1, channels, channels // 2)]
            channels //= 2
    return total(*layers, dense(channels, 1000))


def fractalnet(columns):
    """Column c has 2^c convolutions a block; the first of each sees the block's input."""
    layers, before = [], 3
    for i, width in enumerate((16, 32, 64, 128, 128)):
        for c in range(columns):
            layers += [conv(32 >> i, 3, before, width), norm(width)]
            layers += [conv(32 >> i, 3, width, width), norm(width)] * (2**c - 1)
        before = width
    return total(*layers, dense(128, 100))


def fitnet(*stages):
    """Maxout units of two pieces, also in the hidden layer of 500."""
    layers, before = [], 3
    for i, widths in enumerate(stages):
        for width in widths:
            layers.append(conv(32 >> i, 3, before, 2 * width, bias=True))
            before = width
    return total(*layers, dense(before, 1000), dense(500, 10))


def nasnet(filters, cells, stem, size, imagenet):
    """Every cell squeezes its two inputs; a separable convolution is two depthwise and two 1×1."""
    layers = [conv(size, 3, 3, stem), norm(stem)]

    def separable(n, k, before, after):
        layers.extend([conv(n, k, before, before, groups=before), conv(n, 1, before, after)])
        layers.extend([norm(after), conv(n, k, after, after, groups=after)])
        layers.extend([conv(n, 1, after, after), norm(after)])

    def squeeze(n, before, after):
        layers.extend([conv(n, 1, before, after), norm(after)])

    def reduction(n, seen, prev, f, raw=False):
        """n is the size before; separable 5, 7, 7, 5 with stride, and one 3 without."""
        squeeze(n, seen, f)
        if not raw:
            squeeze(n, prev, f)
        half, prev = (n + 1) // 2, prev if raw else f
        for k, before in ((5, f), (7, prev), (7, prev), (5, prev), (3, f)):
            separable(half, k, before, f)
        return half, 4 * f

    def normal(n, seen, prev, f):
        squeeze(n, seen, f)
        squeeze(n, prev, f)
        for k in (5, 3, 5, 3, 3):
            separable(n, k, f, f)
        return 6 * f

    prev = x = stem
    if imagenet:
        size, x = reduction(size, stem, stem, filters // 4, raw=True)
        # The second cell's other input is twice as large: factorized, the same products.
        size, (prev, x) = (size + 1) // 2, (x, reduction(size, x, prev, filters // 2)[1])
    for i in range(3):
        f = filters << i
        if i:
            size, (prev, x) = (size + 1) // 2, (x, reduction(size, x, prev, f)[1])
        for _ in range(cells):
            prev, x = x, normal(size, x, prev, f)
    return total(*layers, dense(x, 1000 if imagenet else 10))


def nasnet_padded(filters, sizes):
    """What Cadene's and pytorchcv's networks compute and throw away.

    PyTorch pads both sides alike, TensorFlow puts the odd pixel behind. To have TensorFlow's
    windows on an even map they put one row and column more in front of it, and cut the first ones
    of the result. So in each such reduction cell the first half of all five separable convolutions
    (also of the 3×3 of stride 1) runs on a map that is larger by one.

    ``sizes``: (factor of ``filters``, size of the cell's result) of the cells whose input is even.
    """
    excess = 0
    for factor, size in sizes:
        f = round(filters * factor)
        for k in (5, 7, 7, 5, 3):
            excess += ((size + 1) ** 2 - size**2) * (k * k * f + f * f)
    return excess


def inception_v2():
    """Table 1 of the paper line by line; inside the modules the released v3's numbers."""

    def branch(size, seen, *steps):
        """steps: (height, width, channels, size of the result)."""
        for h, w, out, n in steps:
            weights = h * w * seen * out
            layers.extend([(weights, weights * n * n), norm(out)])
            seen = out

    layers = []
    branch(299, 3, (3, 3, 32, 149), (3, 3, 32, 147), (3, 3, 64, 147), (3, 3, 80, 71))
    branch(71, 80, (3, 3, 192, 35), (3, 3, 288, 35))
    for _ in range(3):
        n = 35
        branch(n, 288, (1, 1, 64, n))
        branch(n, 288, (1, 1, 48, n), (3, 3, 64, n))
        branch(n, 288, (1, 1, 64, n), (3, 3, 96, n), (3, 3, 96, n))
        branch(n, 288, (1, 1, 64, n))
    branch(35, 288, (3, 3, 384, 17))
    branch(35, 288, (1, 1, 64, 35), (3, 3, 96, 35), (3, 3, 96, 17))
    for f in (128, 160, 160, 160, 192):
        n = 17
        branch(n, 768, (1, 1, 192, n))
        branch(n, 768, (1, 1, f, n), (1, 7, f, n), (7, 1, 192, n))
        branch(n, 768, (1, 1, f, n), (7, 1, f, n), (1, 7, f, n), (7, 1, f, n), (1, 7, 192, n))
        branch(n, 768, (1, 1, 192, n))
    branch(17, 768, (1, 1, 192, 17), (3, 3, 320, 8))
    branch(17, 768, (1, 1, 192, 17), (3, 3, 192, 17), (3, 3, 192, 8))
    for seen in (1280, 2048):
        branch(8, seen, (1, 1, 320, 8))
        branch(8, seen, (1, 1, 384, 8))
        branch(8, seen, (1, 1, 448, 8), (3, 3, 384, 8))
        for _ in range(2):
            branch(8, 384, (1, 3, 384, 8))
            branch(8, 384, (3, 1, 384, 8))
        branch(8, seen, (1, 1, 192, 8))
    return total(*layers, dense(2048, 1000))


def fcn_vgg(finest):
    """VGG-16 with 100 zeros around an image of 500², and what enlarges its scores."""
    layers, before = [], 3
    stages = zip((2, 2, 3, 3, 3), (698, 349, 175, 88, 44), (64, 128, 256, 512, 512), strict=True)
    for count, size, width in stages:
        for _ in range(count):
            layers.append(conv(size, 3, before, width, bias=True))
            before = width
    layers += [conv(16, 7, 512, 4096, bias=True), conv(16, 1, 4096, 4096, bias=True)]
    # On fc7, pool4 and pool3; then transposed convolutions, counted by what goes in.
    layers += [conv(16, 1, 4096, 21, bias=True)]
    if finest == 32:
        return total(*layers, conv(16, 64, 21, 21))
    layers += [conv(44, 1, 512, 21, bias=True), conv(16, 4, 21, 21)]
    if finest == 16:
        return total(*layers, conv(34, 32, 21, 21))
    layers += [conv(88, 1, 256, 21, bias=True), conv(34, 4, 21, 21)]
    return total(*layers, conv(70, 16, 21, 21))


def normalized(size, kernel, before, after, groups=1):
    """A convolution without offset and a normalization."""
    return conv(size, kernel, before, after, groups=groups), norm(after)


def separable(size, before, after):
    """A depthwise and a 1×1 convolution, both normalized."""
    depthwise = normalized(size, 3, before, before, before)
    return (*depthwise, *normalized(size, 1, before, after))


def mobilenet_v1_layers(side):
    """To the last map, of images side², halved five times and rounded up."""
    size = [-(-side // 2**n) for n in range(6)]
    layers, before = [*normalized(size[1], 3, 3, 32)], 32
    rows = ((64, 1), (128, 2), (128, 2), (256, 3), (256, 3), (512, 4), *((512, 4),) * 5)
    for after, level in (*rows, (1024, 5), (1024, 5)):
        layers += separable(size[level], before, after)
        before = after
    return layers


def ssd300_mobilenet_v1():
    layers, before = mobilenet_v1_layers(300), 1024
    maps = [(19, 512, 3), (10, 1024, 6)]
    for size, after, narrow, wide in (
        (10, 5, 256, 512),
        (5, 3, 128, 256),
        (3, 2, 128, 256),
        (2, 1, 64, 128),
    ):
        layers += normalized(size, 1, before, narrow)
        layers += normalized(after, 3, narrow, wide)
        maps.append((after, wide, 6))
        before = wide
    heads = [conv(n, 1, c, count * 25, bias=True) for n, c, count in maps]
    return total(*layers, *heads)


def ssd_slim_face():
    """Of images of 320², for two classes."""
    layers, before = [*normalized(160, 3, 3, 16)], 16
    rows = ((32, 160), (32, 80), (32, 80), *((64, 40),) * 4, *((128, 20),) * 3, *((256, 10),) * 2)
    for after, size in rows:
        layers += separable(size, before, after)
        before = after
    layers += [conv(10, 1, 256, 64, bias=True), conv(5, 3, 64, 64, bias=True, groups=64)]
    layers += [conv(5, 1, 64, 256, bias=True)]
    for width in (2, 4):
        for size, channels, count in ((40, 64, 3), (20, 128, 2), (10, 256, 2)):
            layers.append(conv(size, 3, channels, channels, bias=True, groups=channels))
            layers.append(conv(size, 1, channels, count * width, bias=True))
        layers.append(conv(5, 3, 256, 3 * width, bias=True))
    return total(*layers)


def fastestdet():
    layers, before = [*normalized(176, 3, 3, 24)], 24
    for size, width, units in ((44, 48, 4), (22, 96, 8), (11, 192, 4)):
        half = width // 2
        layers += separable(size, before, half)
        layers += normalized(2 * size, 1, before, half)
        layers += separable(size, half, half)
        for _ in range(units - 1):
            layers += [*normalized(size, 1, half, half), *separable(size, half, half)]
        before = width
    layers += normalized(22, 1, 48 + 96 + 192, 96)
    for _ in range(1 + 2 + 3):
        layers += normalized(22, 5, 96, 96, 96)
    layers += [*normalized(22, 1, 3 * 96, 96), *normalized(22, 1, 96, 96)]
    for width in (1, 4, 80):
        layers += [*normalized(22, 5, 96, 96, 96), *normalized(22, 1, 96, width)]
    return total(*layers)


FORMULAS = {
    **{f"fcn{n}s_vgg16": lambda n=n: fcn_vgg(n) for n in (8, 16, 32)},
    "fastestdet": fastestdet,
    "ssd300_mobilenet_v1": ssd300_mobilenet_v1,
    "ssd_slim_face": ssd_slim_face,
    "fitnet1": lambda: fitnet((16,) * 3, (32,) * 3, (48, 48, 64)),
    "fitnet2": lambda: fitnet((16, 32, 32), (48, 64, 80), (96, 96, 128)),
    "fitnet4": lambda: fitnet((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6),
    "inception_v2": inception_v2,
    "nasnet_a_mobile": lambda: nasnet(44, 4, 32, 111, True),
    "nasnet_a_cifar": lambda: nasnet(32, 6, 96, 32, False),
    **{f"fractalnet_c{c}": lambda c=c: fractalnet(c) for c in range(1, 7)},
    "wrn_16_8": lambda: wide_resnet_cifar(16, 8),
    "wrn_40_4": lambda: wide_resnet_cifar(40, 4),
    "densenet264": lambda: densenet_imagenet((6, 12, 64, 48), 32, 64),
    "mlp": lambda: total(dense(784, 256), dense(256, 128), dense(128, 10)),
    "lenet5_1998": lenet5_1998,
    "lenet_300_100": lambda: total(dense(784, 300), dense(300, 100), dense(100, 10)),
    "lenet5_caffe": lambda: total(
        conv(24, 5, 1, 20, bias=True),
        conv(8, 5, 20, 50, bias=True),
        *(dense(800, 500), dense(500, 10)),
    ),
    **{f"resnet{6 * n + 2}": lambda n=n: cifar_resnet(n) for n in (3, 5, 7, 9, 18, 200)},
    "resnet50_v1": lambda: bottleneck_resnet_v1((3, 4, 6, 3)),
    "resnet152_v1": lambda: bottleneck_resnet_v1((3, 8, 36, 3)),
}

# Video networks: key of the table, and how often its count is taken (frames of the clip). What
# non-local blocks multiply is among the products.
VIDEO = {
    **{name: (f"tv/{name}", 1) for name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d")},
    **{name: (f"piergiaj/{name}", 1) for name in ("i3d_rgb", "i3d_flow")},
    "c3d": ("caffe/c3d_sports1m", 1),
    "c3d_small": ("caffe/c3d_ucf101_train_small", 1),
    "lrcn": ("caffe/lrcn_lstm_activity", 16),
    "lrcn_single_frame": ("caffe/lrcn_single_frame", 1),
    "two_stream_spatial": ("hand/two_stream_spatial_cnnM2048_ucf101", 1),
    "two_stream_temporal": ("hand/two_stream_temporal_cnnM2048_L10_ucf101", 1),
    "single_frame": ("hand/karpathy_single_frame_170_sports1m_approx", 1),
    "early_fusion": ("hand/karpathy_early_fusion_T10_170_approx", 1),
    **{
        name: (f"pyslowfast/Kinetics/{name.upper().replace('X', 'x')}", 1)
        for name in (
            *("slow_4x16_r50", "slow_8x8_r50", "slow_nln_4x16_r50", "slowfast_4x16_r50"),
            *("slowfast_8x8_r50", "slowfast_nln_4x16_r50", "c2d_8x8_r50", "c2d_nln_8x8_r50"),
            *("i3d_8x8_r50", "i3d_nln_8x8_r50", "i3d_8x8_r101", "i3d_nln_8x8_r101"),
        )
    },
    **{
        f"slowfast_{t}x8_r101": (f"pyslowfast/Kinetics/c2/SLOWFAST_{t}x8_R101_50_50", 1)
        for t in (8, 16)
    },
}

# Our name → key and the width that the head sees; the table counts it for five boxes, we for one.
AVA = {
    "ava_slow_4x16_r50": ("pyslowfast/AVA/SLOW_8x8_R50_SHORT", 2048),
    "ava_slowfast_8x8_r50": ("pyslowfast/AVA/SLOWFAST_32x2_R50_SHORT", 2304),
    "ava_slowfast_8x8_r101": ("pyslowfast/AVA/c2/SLOWFAST_32x2_R101_50_50", 2304),
}


def fusion(first, second, third, heads):
    """(kernel in time, positions in time) of three convolutions, and how many maps fc6 sees."""
    (t1, n1), (t2, n2), (t3, n3) = first, second, third

    def conv(k, cin, cout, side, t, n):
        weights = k * k * t * cin * cout
        return weights + cout, n * side * side * weights

    return total(
        conv(11, 3, 96, 54, t1, n1),
        conv(5, 96, 256, 27, t2, n2),
        conv(3, 256, 384, 13, t3, n3),
        conv(3, 384, 384, 13, 1, n3),
        conv(3, 384, 256, 13, 1, n3),
        dense(heads * 36 * 256, 4096),
        dense(4096, 4096),
        dense(4096, 487),
    )


def gru_rcn(table, frames=10, classes=101):
    """VGG-16 to fc7, on each of five maps a ConvGRU without biases and a classifier."""
    vgg = table["tv/vgg16"]
    cells = ((128, 64, 56, 3), (256, 128, 28, 3), (512, 256, 14, 3), (512, 256, 7, 3))
    weights = {side: 3 * k * k * (c + f) * f for c, f, side, k in (*cells, (4096, 512, 1, 1))}
    assert sum(weights.values()) == 19_353_600
    states = 64 + 128 + 256 + 256 + 512
    per_frame = vgg["macs_conv_linear_eval"] - 4096 * 1000
    per_frame += sum(w * side * side for side, w in weights.items())
    return {
        "parameters": vgg["params"] - 4097 * 1000 + 19_353_600 + states * classes + 5 * classes,
        "macs": frames * per_frame + states * classes,
    }


# Formulas whose parameter count the table confirms.
CONFIRMED = {
    **{f"fcn{n}s_vgg16": "hand/fcn_vgg16_voc21" for n in (8, 16, 32)},
    "nasnet_a_mobile": "cadene/nasnetamobile",
    **{f"fractalnet_c{c}": f"hand/fractalnet_C{c}_16-32-64-128-128_cifar100" for c in range(1, 7)},
    "lenet5_1998": "hand/lenet5_1998_paper",
    **{f"resnet{d}": f"hand/resnet{d}_cifar10_optA" for d in (20, 32, 44, 56, 110, 1202)},
    "wrn_16_8": "hand/wrn_16_8_cifar10",
    "wrn_40_4": "hand/wrn_40_4_cifar10",
    "resnet50_v1": "tv/resnet50",
    "resnet152_v1": "tv/resnet152",
}


def main(path):
    table = json.loads(Path(path).read_text())
    out = {}
    for name, key in ORACLES.items():
        entry = table[key]
        counts = ("macs_conv_linear_eval", "macs_conv_linear_eval_randinit", "macs")
        macs = next(entry[key] for key in counts if key in entry)
        if entry.get("kind") == "segmentation" and "params_without_aux" in entry:
            # The table counts the auxiliary head as well, on a map of 65×65.
            seen = 40 if "mobilenet" in name else 1024
            for kernel, before, after in ((3, seen, seen // 4), (1, seen // 4, 21)):
                macs -= conv(65, kernel, before, after)[1]
        # Auxiliary classifiers are an option of ours.
        parameters = entry.get("params_without_aux", entry["params"])
        out[name] = {"parameters": parameters, "macs": macs, "source": key}
        # Darknet counts its networks at 256×256 and its own head: the counts are the formula's.
        if name.startswith("plain"):
            out[name] |= plain_resnet((2, 2, 2, 2) if name == "plain18" else (3, 4, 6, 3))
            assert out[name]["parameters"] == entry["params"], name
    for name, formula in FORMULAS.items():
        out[name] = {**formula(), "source": f"formula {formula.__name__}".strip()}
        if name in CONFIRMED:
            entry = table[CONFIRMED[name]]
            whole = name.removesuffix("_vgg16") + "_total"
            known = entry["params"] if "params" in entry else entry[whole]
            assert out[name]["parameters"] == known, name
            out[name]["source"] = f"layer formula; parameters confirmed by {CONFIRMED[name]}"
        else:
            out[name]["source"] = "layer formula"
    # The formulas of families with entries in the table give those entries.
    assert densenet_imagenet((6, 12, 24, 16), 32, 64)["macs"] == out["densenet121"]["macs"]
    assert wide_resnet_cifar(28, 10)["macs"] == out["wrn_28_10"]["macs"]
    assert nasnet(168, 6, 96, 165, True) == {
        key: out["nasnet_a_large"][key] for key in ("parameters", "macs")
    }
    # Cadene's networks pad and cut: exactly this much more, of 224 → 112 … 56, 28, 14 and of 331.
    mobile = out["nasnet_a_mobile"]["macs"] + nasnet_padded(44, ((0.5, 28), (2, 14), (4, 7)))
    assert mobile == table["cadene/nasnetamobile"]["macs_conv_linear_eval"]
    large = out["nasnet_a_large"]["macs"] + nasnet_padded(168, ((2, 21),))
    assert large == table["cadene/nasnetalarge"]["macs_conv_linear_eval"], large
    # The published network has normalizations folded: an offset a channel is left of two numbers.
    folded = 12_672  # channels of all normalizations
    deployed = table["caffe/mobilenet_ssd_voc_deploy"]
    counts = out["ssd300_mobilenet_v1"]
    assert (counts["parameters"] - folded, counts["macs"]) == (deployed["params"], deployed["macs"])
    for name, (formula, key) in DERIVED.items():
        out[name] = {**formula(table), "source": f"layer formula on top of {key}"}
    for name, (key, times) in VIDEO.items():
        entry = table[key]
        count = entry.get("macs_total_flopcounter", entry.get("macs"))
        out[name] = {"parameters": entry["params"], "macs": times * count, "source": key}
    for name, (key, width) in AVA.items():
        macs = table[key]["macs_total_flopcounter"] - 4 * width * 80
        out[name] = {"parameters": table[key]["params"], "macs": macs, "source": key}
    single = fusion((1, 1), (1, 1), (1, 1), 1)
    assert single == {key: out["single_frame"][key] for key in ("parameters", "macs")}
    out["late_fusion"] = fusion((1, 2), (1, 2), (1, 2), 2) | {"source": "layer formula"}
    out["slow_fusion"] = fusion((4, 4), (2, 2), (2, 1), 1) | {"source": "layer formula"}
    out["gru_rcn"] = gru_rcn(table) | {"source": "layer formula on top of tv/vgg16"}
    target = Path(__file__).with_name("models.json")
    lines = [f"  {json.dumps(name)}: {json.dumps(out[name])}" for name in sorted(out)]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{target}: {len(out)} networks")


if __name__ == "__main__":
    main(sys.argv[1])
