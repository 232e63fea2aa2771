"""Name maps of the families whose modules have branches: Inception in its forms, and NASNet."""

import flax.linen as nn

from jaxnets.pretrained.names import NameMap, Rules

# torchvision's GoogLeNet: branches by number; its conv2 and conv3 are the paper's reduce and 3×3.
GOOGLENET = NameMap(
    "torchvision",
    lambda model: (
        ("conv2_reduce/{layer}", "conv2.{layer}"),
        ("conv2/{layer}", "conv3.{layer}"),
        ("inception{place}/1x1/{layer}", "inception{place}.branch1.{layer}"),
        ("inception{place}/3x3_reduce/{layer}", "inception{place}.branch2.0.{layer}"),
        ("inception{place}/3x3/{layer}", "inception{place}.branch2.1.{layer}"),
        ("inception{place}/5x5_reduce/{layer}", "inception{place}.branch3.0.{layer}"),
        ("inception{place}/5x5/{layer}", "inception{place}.branch3.1.{layer}"),
        ("inception{place}/pool_proj/{layer}", "inception{place}.branch4.1.{layer}"),
        ("aux{i}_head/conv/{layer}", "aux{i}.conv.{layer}"),
        ("aux{i}_head/fc{j}", "aux{i}.fc{j}"),
        ("head", "fc"),
    ),
    linear=("aux._head/fc.",),
    optional=(r"aux[12]\.",),
    applies=lambda model: model.variant == "torchvision",
)

# Our path and place in it → torchvision's names of the branches, by kind of module.
_A = {
    "path1_conv1": "branch1x1",
    "path2_conv1": "branch5x5_1",
    "path2_conv2": "branch5x5_2",
    "path3_conv1": "branch3x3dbl_1",
    "path3_conv2": "branch3x3dbl_2",
    "path3_conv3": "branch3x3dbl_3",
}
_B = {
    "path1_conv1": "branch3x3",
    "path2_conv1": "branch3x3dbl_1",
    "path2_conv2": "branch3x3dbl_2",
    "path2_conv3": "branch3x3dbl_3",
}
_C = {
    "path1_conv1": "branch1x1",
    **{f"path2_conv{j}": f"branch7x7_{j}" for j in (1, 2, 3)},
    **{f"path3_conv{j}": f"branch7x7dbl_{j}" for j in (1, 2, 3, 4, 5)},
}
_D = {
    "path1_conv1": "branch3x3_1",
    "path1_conv2": "branch3x3_2",
    **{f"path2_conv{j}": f"branch7x7x3_{j}" for j in (1, 2, 3, 4)},
}
_E = {
    "path1_conv1": "branch1x1",
    "path2_conv1": "branch3x3_1",
    "path2_conv2a": "branch3x3_2a",
    "path2_conv2b": "branch3x3_2b",
    "path3_conv1": "branch3x3dbl_1",
    "path3_conv2": "branch3x3dbl_2",
    "path3_conv3a": "branch3x3dbl_3a",
    "path3_conv3b": "branch3x3dbl_3b",
}
_MODULES = {
    **dict.fromkeys(("5b", "5c", "5d"), _A),
    "6a": _B,
    **dict.fromkeys(("6b", "6c", "6d", "6e"), _C),
    "7a": _D,
    **dict.fromkeys(("7b", "7c"), _E),
}


def inception_v3(model: nn.Module) -> Rules:
    """Layers of a stem, then Mixed_5b…7c."""
    table = [
        ("conv1a/{layer}", "Conv2d_1a_3x3.{layer}"),
        ("conv2a/{layer}", "Conv2d_2a_3x3.{layer}"),
        ("conv2b/{layer}", "Conv2d_2b_3x3.{layer}"),
        ("conv3b/{layer}", "Conv2d_3b_1x1.{layer}"),
        ("conv4a/{layer}", "Conv2d_4a_3x3.{layer}"),
        ("aux_head/conv{i}/{layer}", "AuxLogits.conv{i}.{layer}"),
        ("aux_head/fc", "AuxLogits.fc"),
        ("head", "fc"),
    ]
    for place, branches in _MODULES.items():
        for ours, theirs in {**branches, "pool_proj": "branch_pool"}.items():
            table.append((f"mixed{place}/{ours}/{{layer}}", f"Mixed_{place}.{theirs}.{{layer}}"))
    return table


INCEPTION_V3 = tuple(
    NameMap(source, inception_v3, optional=(r"AuxLogits\.",)) for source in ("torchvision", "timm")
)


def _flat(ours: str, theirs: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (f"{ours}/conv", theirs), (f"{ours}/bn", f"{theirs}_bn")


# Converted from Caffe: one flat list of layers.
BN_INCEPTION = NameMap(
    "cadene",
    lambda model: (
        *_flat("conv1", "conv1_7x7_s2"),
        *_flat("conv2_reduce", "conv2_3x3_reduce"),
        *_flat("conv2", "conv2_3x3"),
        *_flat("inception{place}/double_reduce", "inception_{place}_double_3x3_reduce"),
        *_flat("inception{place}/double_{i}", "inception_{place}_double_3x3_{i}"),
        *_flat("inception{place}/{layer}", "inception_{place}_{layer}"),
        ("head", "last_linear"),
    ),
    applies=lambda model: model.reduction is None,
)


def nasnet(model: nn.Module) -> Rules:
    """Cells are numbered through, six to a stage, also where a stage has fewer."""
    cells = {"stem_cell0": "cell_stem_0", "stem_cell1": "cell_stem_1"}
    cells |= {f"reduction{i}": f"reduction_cell_{i - 1}" for i in (1, 2)}
    for i in range(3):
        for j in range(model.cells):
            cells[f"stage{i + 1}/block{j}"] = f"cell_{max(6, model.cells) * i + j}"
    table = [("stem/{layer}", "conv0.{layer}"), ("head", "last_linear")]
    for ours, theirs in cells.items():
        table += [
            (f"{ours}/squeeze/{{layer}}", f"{theirs}.conv_1x1.{{layer}}"),
            *_previous(ours, theirs, halve=ours == "stem_cell1" or ours.endswith("/block0")),
        ]
        for side in ("left", "right"):
            pair, there = f"{ours}/pair{{i}}_{side}", f"{theirs}.comb_iter_{{i}}_{side}"
            table += [
                (f"{pair}/depthwise{{k}}", f"{there}.separable_{{k}}.depthwise_conv2d"),
                (f"{pair}/pointwise{{k}}", f"{there}.separable_{{k}}.pointwise_conv2d"),
                (f"{pair}/bn{{k}}", f"{there}.bn_sep_{{k}}"),
            ]
    return table


def _previous(ours: str, theirs: str, halve: bool) -> Rules:
    """The squeeze of the cell before: after a reduction it halves the map by two paths."""
    path = f"{ours}/squeeze_prev"
    return (
        (f"{path}/conv_even", f"{theirs}.path_1.conv"),
        (f"{path}/conv_odd", f"{theirs}.path_2.conv"),
        (f"{path}/conv", f"{theirs}.conv_prev_1x1.conv"),
        (f"{path}/bn", f"{theirs}.final_path_bn" if halve else f"{theirs}.conv_prev_1x1.bn"),
    )


NASNET = tuple(
    NameMap(source, nasnet, applies=lambda model: model.imagenet) for source in ("timm", "cadene")
)
