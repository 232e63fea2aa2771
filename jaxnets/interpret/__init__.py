"""Looking inside networks: from units back to pixels, maps of classes, ZFNet's analyses.

Functions of (model, variables, images), for any network of the registry and for any Flax module.
"""

from jaxnets.interpret.backward import (
    deconvnet,
    guided_backprop,
    integrated_gradients,
    pixel_map,
    saliency,
    smooth_grad,
)
from jaxnets.interpret.cam import (
    ClassActivation,
    class_activation_map,
    grad_cam,
    grad_cam_plus_plus,
    last_map,
    score_cam,
)
from jaxnets.interpret.correspondence import (
    Correspondence,
    correspondence,
    random_boxes,
    sign_distance,
)
from jaxnets.interpret.evolution import Evolution, feature_evolution, linear_cka
from jaxnets.interpret.explain import Explanation, explain_picture
from jaxnets.interpret.figures import as_picture, curves, mosaic, overlay, sheet
from jaxnets.interpret.filters import FilterReport, filter_report, find_kernel, limit_filter_rms
from jaxnets.interpret.maps import box_overlap, boxes_from_maps, resize_maps
from jaxnets.interpret.motion import ClipVisualization, clip_variation, visualize_motion
from jaxnets.interpret.occlusion import OcclusionMaps, occlusion_map
from jaxnets.interpret.page import Section, write_page
from jaxnets.interpret.probes import (
    LayerProbe,
    TransferCurve,
    feature_transfer,
    layer_features,
    layer_probes,
)
from jaxnets.interpret.program import layer_shapes
from jaxnets.interpret.sanity import rank_correlation, sanity_check
from jaxnets.interpret.sensitivity import (
    Sensitivity,
    linearity,
    transform_images,
    transform_sensitivity,
)
from jaxnets.interpret.small_zfnet import SmallZFNet, train_snapshots
from jaxnets.interpret.subject import Subject, load_subject
from jaxnets.interpret.svm import fit_linear_svm
from jaxnets.interpret.targets import Unit
from jaxnets.interpret.top import TopActivations, crops, top_activations
from jaxnets.interpret.visualize import Transformations, Visualization, visualize_unit

__all__ = [
    "ClassActivation",
    "ClipVisualization",
    "Correspondence",
    "Evolution",
    "Explanation",
    "FilterReport",
    "LayerProbe",
    "OcclusionMaps",
    "Section",
    "Sensitivity",
    "SmallZFNet",
    "Subject",
    "TopActivations",
    "TransferCurve",
    "Transformations",
    "Unit",
    "Visualization",
    "as_picture",
    "box_overlap",
    "boxes_from_maps",
    "class_activation_map",
    "clip_variation",
    "correspondence",
    "crops",
    "curves",
    "deconvnet",
    "explain_picture",
    "feature_evolution",
    "feature_transfer",
    "filter_report",
    "find_kernel",
    "fit_linear_svm",
    "grad_cam",
    "grad_cam_plus_plus",
    "guided_backprop",
    "integrated_gradients",
    "last_map",
    "layer_features",
    "layer_probes",
    "layer_shapes",
    "limit_filter_rms",
    "linear_cka",
    "linearity",
    "load_subject",
    "mosaic",
    "occlusion_map",
    "overlay",
    "pixel_map",
    "random_boxes",
    "rank_correlation",
    "resize_maps",
    "saliency",
    "sanity_check",
    "score_cam",
    "sheet",
    "sign_distance",
    "smooth_grad",
    "top_activations",
    "train_snapshots",
    "transform_images",
    "transform_sensitivity",
    "visualize_motion",
    "visualize_unit",
    "write_page",
]
