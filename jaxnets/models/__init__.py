"""Networks: one family a file, and a registry that knows them all."""

# Importing a family registers its networks.
from jaxnets.models import (  # noqa: F401
    alexnet,
    densenet,
    fitnet,
    fractalnet,
    googlenet,
    inception_bn,
    inception_v2,
    inception_v3,
    lenet,
    mlp,
    mobilenet_v1,
    mobilenet_v2,
    nasnet,
    nin,
    overfeat,
    resnet,
    resnet_cifar,
    resnext,
    senet,
    shufflenet_v1,
    shufflenet_v2,
    squeezenet,
    super_resolution,
    vgg,
    wide_resnet,
    zfnet,
)
from jaxnets.models.backbone import Backbone, backbone
from jaxnets.models.counting import count_macs, count_parameters
from jaxnets.models.detection import (  # noqa: F401
    fast_rcnn,
    fasterrcnn,
    fastestdet,
    fcos,
    keypointrcnn,
    maskrcnn,
    retinanet,
    slim_face,
    ssd300,
    ssd_mobilenet,
    ssdlite,
)
from jaxnets.models.features import features
from jaxnets.models.papers import Paper
from jaxnets.models.registry import (
    InputSpec,
    ModelInfo,
    create_model,
    list_models,
    model_info,
    register,
)
from jaxnets.models.segmentation import deeplab, fcn, fcn_vgg, lraspp  # noqa: F401
from jaxnets.models.taps import Tapped, tap_shapes
from jaxnets.models.video import (  # noqa: F401
    c3d,
    fusion,
    gru_rcn,
    i3d,
    lrcn,
    resnet3d,
    s3d,
    slow,
    slowfast,
    two_stream,
)

__all__ = [
    "Backbone",
    "InputSpec",
    "ModelInfo",
    "Paper",
    "Tapped",
    "backbone",
    "count_macs",
    "count_parameters",
    "create_model",
    "features",
    "list_models",
    "model_info",
    "register",
    "tap_shapes",
]
