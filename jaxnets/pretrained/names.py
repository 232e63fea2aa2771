"""Rules that turn the name of one of our layers into the name that another library gives it.

A rule is a pair of texts. On the left stands a path of ours, in which a single letter in braces
is a number and a longer word any name without a slash; on the right the other name, in which they
may be used, a number also with something added:

>>> translate("stage2/block0/conv1", (("stage{i}/block{j}/{layer}", "layer{i+1}.{j}.{layer}"),))
'layer3.0.conv1'

`{*}` on the right counts along the first axis of a stack of layers (`flax.linen.scan`). The first
rule that fits the whole path is taken.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn

Rules = Sequence[tuple[str, str]]
_FIELD = re.compile(r"\{(\w+|\*)([+-]\d+)?\}")


@dataclasses.dataclass(frozen=True)
class NameMap:
    r"""How one library names the layers of one family; `load` and `save` take it as ``source``.

    Attributes:
        source: the library, as users name it.
        rules: of a network, since indices may depend on its fields.
        convolutions: our fully connected layers that the library has as convolutions, as regular
            expressions on our paths; and with `linear`, our spatial ones that it has as matrices.
        linear: see ``convolutions``.
        optional: names of the library that may be left over in a file (auxiliary classifiers that
            the network was made without), as regular expressions.
        renamed: (regular expression, replacement) for names in older files of the library.
        fields: fields that make the network the library's, where the file does not show them.
        applies: whether the library has this network at all.

    >>> lab = NameMap(
    ...     "our lab",
    ...     lambda model: (("c{i}", "net.conv{i}"), ("output", "classifier")),
    ...     renamed=((r"head\.", "classifier."),),
    ... )
    >>> [translate(layer, lab.rules(None)) for layer in ("c1", "c3", "output")]
    ['net.conv1', 'net.conv3', 'classifier']
    >>> lab.present_name("head.weight")  # as files had it before the renaming
    'classifier.weight'
    """

    source: str
    rules: Callable[[nn.Module], Rules]
    convolutions: Sequence[str] = ()
    linear: Sequence[str] = ()
    optional: Sequence[str] = ()
    renamed: Sequence[tuple[str, str]] = ()
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    applies: Callable[[nn.Module], bool] = lambda model: True

    def keeps_as_matrix(self, path: str, axes: int) -> bool:
        """Whether the library has the kernel of our layer as a matrix (its Linear)."""
        chosen, default = (self.convolutions, True) if axes == 2 else (self.linear, False)
        return default ^ any(re.fullmatch(pattern, path) for pattern in chosen)

    def present_name(self, name: str) -> str:
        """The name of today for one in an older file."""
        for pattern, replacement in self.renamed:
            name = re.sub(pattern, replacement, name)
        return name

    def may_be_left(self, name: str) -> bool:
        """Whether a tensor of this name in a file needs no place in the network."""
        return any(re.match(pattern, name) for pattern in self.optional)


def translate(path: str, rules: Rules, index: int | None = None) -> str:
    """Their name of our layer ``path``; ``index`` is its place in a stack of layers.

    A path that no rule fits keeps its words, with dots.
    """
    for left, right in rules:
        found = _compile(left).fullmatch(path)
        if found:
            return _fill(right, found.groupdict(), index)
    return path.replace("/", ".")


def is_stack(path: str, rules: Rules) -> bool:
    """Whether the first rule that fits counts along a stack of layers."""
    rights = (right for left, right in rules if _compile(left).fullmatch(path))
    return "{*" in next(rights, "")


@functools.cache
def _compile(left: str) -> re.Pattern:
    pattern, end = "", 0
    for field in _FIELD.finditer(left):
        name = field[1]
        pattern += re.escape(left[end : field.start()])
        pattern += rf"(?P<{name}>\d+)" if len(name) == 1 else f"(?P<{name}>[^/]+)"
        end = field.end()
    return re.compile(pattern + re.escape(left[end:]))


def _fill(right: str, values: Mapping[str, str], index: int | None) -> str:
    def put(field: re.Match) -> str:
        value = str(index) if field[1] == "*" else values[field[1]]
        return str(int(value) + int(field[2])) if field[2] else value

    return _FIELD.sub(put, right)
