"""NAS-Bench-Macro: 6,561 networks that were all trained on CIFAR-10, as a table."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.nas.space import Architecture, SearchSpace, macro_space


class MacroTable(NamedTuple):
    """What every architecture of the space is worth.

    Attributes:
        accuracy: (6561, 3), per cent on CIFAR-10's test images, three trainings.
        parameters: (6561,).
        flops: (6561,).

    >>> table = MacroTable(np.ones((6561, 3)), np.ones(6561), np.ones(6561))
    >>> table.reward((0,) * 8)
    1.0
    """

    accuracy: np.ndarray
    parameters: np.ndarray
    flops: np.ndarray

    @property
    def space(self) -> SearchSpace:
        """The space of the table."""
        return macro_space()

    @property
    def means(self) -> np.ndarray:
        """(6561,): mean accuracy of each, in per cent."""
        return self.accuracy.mean(1)

    def reward(self, architecture: Architecture) -> float:
        """The mean accuracy of an architecture."""
        return float(self.means[self._row(architecture)])

    def _row(self, architecture: Architecture) -> int:
        place = 0
        for value in self.space.check(architecture):
            place = 3 * place + value
        return place


def load_macro_table(path: str | Path) -> MacroTable:
    """Read the table.

    Args:
        path: ``nas_bench_macro.npz`` with arrays arch (6561, 8), acc (6561, 3), params and flops.

    Returns:
        `MacroTable`, in the order of the architectures.

    Raises:
        JaxnetsError: the file cannot be read, or is not that table.

    Source: Su et al., "Prioritized Architecture Sampling with Monte-Carlo Tree Search", 2021.

    >>> load_macro_table("none.npz")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: none.npz: cannot be read as NAS-Bench-Macro ...
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arch, acc = file["arch"].astype(int), file["acc"].astype(np.float64)
            parameters, flops = file["params"].astype(np.float64), file["flops"].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise JaxnetsError(f"{path}: cannot be read as NAS-Bench-Macro ({error})") from None
    size = macro_space().size
    if arch.shape != (size, 8) or acc.shape != (size, 3) or arch.min() < 0 or arch.max() > 2:
        raise JaxnetsError(
            f"{path}: expected {size} architectures of 8 numbers from 0 to 2 with 3 accuracies; "
            f"got shapes {arch.shape} and {acc.shape}"
        )
    order = np.argsort(arch @ 3 ** np.arange(7, -1, -1))
    return MacroTable(acc[order], parameters[order], flops[order])
