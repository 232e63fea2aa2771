"""Where published weights lie: one address for each network and library.

An https address ends in the first digits of the file's SHA-256, as its publisher writes it there;
the Hub's client checks what it downloads by itself. Nothing is fetched here.
"""

from typing import Final

TORCHVISION: Final = "https://download.pytorch.org/models/{}.pth"
AKAMASTER: Final = (
    "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{}-{}.th"
)
TIMM: Final = "hf://timm/{}"

# torchvision's first weights (IMAGENET1K_V1), which the published figures are of.
_TORCHVISION: Final = {
    "alexnet_2014": "alexnet-owt-7be5be79",
    "deeplabv3_mobilenet_v3_large": "deeplabv3_mobilenet_v3_large-fc3c493d",
    "deeplabv3_resnet50": "deeplabv3_resnet50_coco-cd0a2569",
    "deeplabv3_resnet101": "deeplabv3_resnet101_coco-586e9e4e",
    "densenet121": "densenet121-a639ec97",
    "densenet161": "densenet161-8d451a50",
    "densenet169": "densenet169-b2777c0a",
    "densenet201": "densenet201-c1103571",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9",
    "fasterrcnn_mobilenet_v3_large_fpn": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7",
    "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6",
    "fasterrcnn_resnet50_fpn_v2": "fasterrcnn_resnet50_fpn_v2_coco-dd69338a",
    "fcos_resnet50_fpn": "fcos_resnet50_fpn_coco-99b0c9b7",
    "fcn_resnet50": "fcn_resnet50_coco-1167a1af",
    "fcn_resnet101": "fcn_resnet101_coco-7ecb50ca",
    "googlenet_bn": "googlenet-1378be20",
    "inception_v3": "inception_v3_google-0cc3c7bd",
    "keypointrcnn_resnet50_fpn": "keypointrcnn_resnet50_fpn_coco-fc266e95",
    "lraspp_mobilenet_v3_large": "lraspp_mobilenet_v3_large-d234d4ea",
    "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e",
    "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019",
    "mobilenet_v2": "mobilenet_v2-b0353104",
    "resnet18": "resnet18-f37072fd",
    "resnet34": "resnet34-b627a593",
    "resnet50": "resnet50-0676ba61",
    "resnet101": "resnet101-63fe2227",
    "resnet152": "resnet152-394f9c45",
    "resnext50_32x4d": "resnext50_32x4d-7cdf4587",
    "resnext101_32x8d": "resnext101_32x8d-8ba56ff5",
    "resnext101_64x4d": "resnext101_64x4d-173b62eb",
    "retinanet_resnet50_fpn": "retinanet_resnet50_fpn_coco-eeacb38b",
    "shufflenet_v2_x0_5": "shufflenetv2_x0.5-f707e7126e",
    "shufflenet_v2_x1_0": "shufflenetv2_x1-5666bf0f80",
    "shufflenet_v2_x1_5": "shufflenetv2_x1_5-3c479a10",
    "shufflenet_v2_x2_0": "shufflenetv2_x2_0-8be3c8ee",
    "squeezenet1_0": "squeezenet1_0-b66bff10",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0",
    "ssd300_vgg16": "ssd300_vgg16_coco-b556d3b4",
    "ssdlite320_mobilenet_v3_large": "ssdlite320_mobilenet_v3_large_coco-a79551df",
    "vgg11": "vgg11-8a719046",
    "vgg11_bn": "vgg11_bn-6002323d",
    "vgg13": "vgg13-19584684",
    "vgg13_bn": "vgg13_bn-abd245e5",
    "vgg16": "vgg16-397923af",
    "vgg16_bn": "vgg16_bn-6c64b313",
    "vgg19": "vgg19-dcbb9e9d",
    "vgg19_bn": "vgg19_bn-c79401a0",
    "wide_resnet50_2": "wide_resnet50_2-95faca4d",
    "wide_resnet101_2": "wide_resnet101_2-32ee1156",
}

_TIMM: Final = {
    "densenet121": "densenet121.tv_in1k",
    "densenet161": "densenet161.tv_in1k",
    "densenet169": "densenet169.tv_in1k",
    "densenet201": "densenet201.tv_in1k",
    "inception_v3": "inception_v3.tv_in1k",
    "mobilenet_v1": "mobilenetv1_100.ra4_e3600_r224_in1k",
    "mobilenet_v2": "mobilenetv2_100.ra_in1k",
    "nasnet_a_large": "nasnetalarge.tf_in1k",
    "resnet18": "resnet18.tv_in1k",
    "resnet34": "resnet34.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "resnet101": "resnet101.tv_in1k",
    "resnet152": "resnet152.tv_in1k",
    "resnext50_32x4d": "resnext50_32x4d.tv_in1k",
    "resnext101_32x8d": "resnext101_32x8d.tv_in1k",
    "resnext101_64x4d": "resnext101_64x4d.tv_in1k",
    "se_resnet50": "legacy_seresnet50.in1k",
    "se_resnet101": "legacy_seresnet101.in1k",
    "se_resnet152": "legacy_seresnet152.in1k",
    "se_resnext50_32x4d": "legacy_seresnext50_32x4d.in1k",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d.in1k",
    "senet154": "legacy_senet154.in1k",
    "vgg11": "vgg11.tv_in1k",
    "vgg11_bn": "vgg11_bn.tv_in1k",
    "vgg13": "vgg13.tv_in1k",
    "vgg13_bn": "vgg13_bn.tv_in1k",
    "vgg16": "vgg16.tv_in1k",
    "vgg16_bn": "vgg16_bn.tv_in1k",
    "vgg19": "vgg19.tv_in1k",
    "vgg19_bn": "vgg19_bn.tv_in1k",
    "wide_resnet50_2": "wide_resnet50_2.tv_in1k",
    "wide_resnet101_2": "wide_resnet101_2.tv_in1k",
}

_AKAMASTER: Final = {
    "resnet20": "12fca82f",
    "resnet32": "d509ac18",
    "resnet44": "014dd654",
    "resnet56": "4bfd9763",
    "resnet110": "1d1ed7c2",
    "resnet1202": "f3b1deed",
}


def addresses_of(name: str) -> dict[str, str]:
    """The addresses of a network's published weights.

    Args:
        name: a name of `jaxnets.list_models()`.

    Returns:
        Library → address for `jaxnets.pretrained.load`; empty where none is known.

    >>> addresses_of("resnet50")["timm"]
    'hf://timm/resnet50.tv_in1k'
    """
    found = {}
    if name in _TORCHVISION:
        found["torchvision"] = TORCHVISION.format(_TORCHVISION[name])
    if name in _TIMM:
        found["timm"] = TIMM.format(_TIMM[name])
    if name in _AKAMASTER:
        found["akamaster"] = AKAMASTER.format(name, _AKAMASTER[name])
    return found
