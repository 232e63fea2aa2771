"""Cells as a space: searched small, stacked large.

A normal and a reduction cell are searched on small images in a small network; the same two cells
then make up a network of any depth and width, as NASNet-A does.

Source: Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image
Recognition", 2017, section 3.
"""

from collections.abc import Sequence
from typing import Any

from jaxnets.errors import JaxnetsError
from jaxnets.models.nasnet_cells import Genotype
from jaxnets.nas.space import Architecture, SearchSpace, Token

OPERATIONS = ("identity", "sep3", "sep5", "sep7", "avg3", "max3", "max5", "max7")
_KINDS = ("normal", "reduction")


def cell_space(blocks: int = 5, operations: Sequence[str] = OPERATIONS) -> SearchSpace:
    """All pairs of cells: in each block two inputs and what is done to them; the two are added.

    Args:
        blocks: of a cell, B.
        operations: "identity", and "sep", "avg" or "max" with the side of a window.

    Returns:
        The space: four tokens a block; block b chooses among x, prev and the b blocks before.

    Raises:
        JaxnetsError: no blocks.

    Source: Zoph et al., 2017, section 3 (B = 5); of its thirteen operations the eight that the
    found cells and their neighbors use.

    >>> space = cell_space(2)
    >>> len(space.tokens), space.sizes[:8]
    (16, (2, 8, 2, 8, 3, 8, 3, 8))
    """
    if blocks < 1:
        raise JaxnetsError(f"cell_space needs at least one block, got {blocks}")
    tokens = []
    for number, kind in enumerate(_KINDS):
        for block in range(blocks):
            sources = ("x", "prev", *range(block))
            for _ in ("left", "right"):
                layer = number * blocks + block
                tokens.append(Token(f"{kind}_source{block}", sources, layer))
                tokens.append(Token(f"{kind}_operation", tuple(operations), layer))
    return SearchSpace(f"cells{blocks}", tuple(tokens))


def decode_cells(space: SearchSpace, architecture: Sequence[int]) -> Genotype:
    """The two cells of an architecture.

    Args:
        space: of `cell_space`.
        architecture: one of it.

    Returns:
        A `Genotype` for `jaxnets.models.nasnet.NASNetA`: ``create_model("nasnet_a_cifar", cells=2,
        features=240, genotype=…)`` is a small network of these cells, more cells and features make
        a larger one. Blocks that no other one uses are put side by side.

    Raises:
        JaxnetsError: an architecture out of the space.

    >>> space = cell_space(2)
    >>> found = decode_cells(space, (0, 1, 1, 0) + (2, 0, 0, 4) + (0,) * 8)
    >>> found.normal, found.normal_outputs
    (((('sep3', 'x'), ('identity', 'prev')), (('identity', 0), ('avg3', 'x'))), (1,))
    """
    values = space.decode(architecture)
    half = len(values) // 2
    cells: list[Any] = []
    outputs: list[Any] = []
    for part in (values[:half], values[half:]):
        pairs = tuple(
            ((part[i + 1], part[i]), (part[i + 3], part[i + 2])) for i in range(0, half, 4)
        )
        used = {source for pair in pairs for _, source in pair}
        cells.append(pairs)
        outputs.append(tuple(block for block in range(len(pairs)) if block not in used))
    return Genotype(cells[0], cells[1], outputs[0], outputs[1])


def encode_cells(space: SearchSpace, genotype: Genotype) -> Architecture:
    """The architecture of two cells; what they put out follows from it.

    Args:
        space: of `cell_space`.
        genotype: such as `jaxnets.models.nasnet_cells.NASNET_A`.

    Returns:
        One number a token.

    Raises:
        JaxnetsError: cells of another number of blocks, or operations that the space lacks.

    >>> from jaxnets.models.nasnet_cells import NASNET_A
    >>> len(encode_cells(cell_space(5), NASNET_A))
    40
    """
    wanted: list[Any] = []
    for pairs in (genotype.normal, genotype.reduction):
        for pair in pairs:
            for operation, source in pair:
                wanted += [source, operation]
    if len(wanted) != len(space.tokens):
        raise JaxnetsError(
            f"space {space.name} has {len(space.tokens)} tokens, the cells have {len(wanted)}"
        )
    found = []
    for value, token in zip(wanted, space.tokens, strict=True):
        if value not in token.values:
            raise JaxnetsError(
                f"space {space.name}: {token.slot} has no {value!r}; it has "
                f"{', '.join(map(str, token.values))}"
            )
        found.append(token.values.index(value))
    return tuple(found)
