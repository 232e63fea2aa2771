"""The advice of the course as experiments: claims as values, a file a chapter; a page of verdicts.

A chapter's file holds its claims with their settings; how they are measured is in `measures`, what
all share (intervals, training over keys, verdicts, the page) in `jaxnets.study`.
"""

import importlib

from jaxnets.study.claims import Claim, by_name

CHAPTERS = (
    "activations",
    "initialization",
    "batch_norm",
    "optimizers",
    "second_order",
    "regularization",
    "ensembles",
    "augmentation",
    "procedure",
    "convolution",
    "transfer",
)


def find_claims() -> dict[str, Claim]:
    """All claims by name, in the order of the chapters."""
    modules = [importlib.import_module(f"experiments.claims.{name}") for name in CHAPTERS]
    return by_name(claim for module in modules for claim in module.CLAIMS)
