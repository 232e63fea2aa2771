"""Networks that tell the class of every pixel."""

from jaxnets.models.segmentation.deeplab import (
    DeepLabHead,
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)
from jaxnets.models.segmentation.fcn import (
    DenseSegmenter,
    FCNHead,
    dilated_resnet,
    fcn_resnet50,
    fcn_resnet101,
)
from jaxnets.models.segmentation.fcn_vgg import (
    FCNVGG,
    bilinear_init,
    convolutional,
    fcn8s_vgg16,
    fcn16s_vgg16,
    fcn32s_vgg16,
)
from jaxnets.models.segmentation.lraspp import LRASPP, lraspp_mobilenet_v3_large
from jaxnets.models.segmentation.small import PyramidSegmenter, small_segmenter
from jaxnets.models.upsample import upsample

__all__ = [
    "FCNVGG",
    "LRASPP",
    "DeepLabHead",
    "DenseSegmenter",
    "FCNHead",
    "PyramidSegmenter",
    "bilinear_init",
    "convolutional",
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "dilated_resnet",
    "fcn8s_vgg16",
    "fcn16s_vgg16",
    "fcn32s_vgg16",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
    "small_segmenter",
    "upsample",
]
