"""The table of all networks, made from the registry and from nothing else."""

from jaxnets.inspect.accuracy import accuracies
from jaxnets.models.registry import ModelInfo, list_models, model_info

_HEADER = """# Networks

Made from the registry by `python -m experiments.networks.model_cards`; change the registry, not
this file.

Parameters are learnable ones, MACs the multiply-accumulates of all convolutions and matrix products
for one image of the input size; the tests hold both against the networks. Accuracies are those of
the papers and, in italics, those that torchvision states for its weights (top-1/top-5, one crop):
published figures, not measurements of this package. `jaxnets.create_model(name)` makes any of them.

| name | paper | year | input | parameters | MACs | published | reads weights of |
|---|---|--:|--:|--:|--:|---|---|
"""


def model_cards() -> str:
    """One line for every registered network, family by family, as Markdown.

    Returns:
        A page with its heading; families in the order of their first papers.

    >>> [line for line in model_cards().splitlines() if line.startswith("| `lenet5_1998`")][0]
    '| `lenet5_1998` | LeCun, Bottou, Bengio, Haffner, ... | 1998 | 32×32×1 | 60,000 | 415,680 |
    MNIST test error 0.95 % (0.8 % with distorted training images) |  |'
    """
    infos = [model_info(name) for name in list_models()]
    first = {}
    for info in infos:
        first[info.family] = min(first.get(info.family, info.year), info.year)
    # Stable: within a family the order of `list_models`.
    infos.sort(key=lambda info: (first[info.family], info.family))
    return _HEADER + "".join(_line(info) + "\n" for info in infos)


def _line(info: ModelInfo) -> str:
    published = [info.published] if info.published else []
    published += [
        f"*{figure.dataset} {figure.top1:.1f}/{figure.top5:.1f} %*"
        for figure in accuracies(info)
        if figure.source == "torchvision"
    ]
    entries = [
        f"`{info.name}`",
        str(info.paper),
        str(info.year),
        "×".join(map(str, info.input_shape)),
        f"{info.parameters:,}",
        f"{info.macs:,}",
        "; ".join(published),
        ", ".join(info.weights),
    ]
    # A bar would end the entry.
    return "| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |"
