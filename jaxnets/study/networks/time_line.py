"""Where the time of a program goes: by layer, direction and kind of operation."""

import gzip
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxnets.errors import JaxnetsError

# The last word of an operation's name → its kind; all others are element by element.
_KINDS = {
    "products": ("conv_general_dilated", "dot_general", "jaxnets_onednn_call"),
    "sums": ("reduce_sum", "reduce_max", "reduce_window", "argmax", "cumsum"),
    "rearrangements": (
        *("concatenate", "pad", "slice", "dynamic_slice", "dynamic_update_slice", "transpose"),
        *("reshape", "gather", "scatter", "rev", "broadcast_in_dim", "squeeze", "copy"),
    ),
}
KINDS = (*_KINDS, "element by element")
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words}
# XLA's own names of operations that no operation of JAX's stands behind.
_UNNAMED = {"copy": "rearrangements", "transpose": "rearrangements", "bitcast": "rearrangements"}

_NAMED = re.compile(
    r"^\s*(?:ROOT )?%?(?P<op>[\w.\-]+) = "
    r'.*?metadata=\{[^}]*op_name="(?P<name>[^"]*)"'
)
# Their events span those of the operations inside.
_AROUND = re.compile(r"(while|call|conditional)[.\d]*")


class Share(NamedTuple):
    """Time of the operations of one layer, direction and kind.

    Attributes:
        layer: names of modules, outermost first, joined by "/"; "" outside of all.
        direction: "forward", "backward", or "" outside of the network (the optimizer's).
        kind: one of `KINDS`.
        milliseconds: of one run of the program.

    >>> Share("stage1/block0/conv1", "forward", "products", 1.5).kind
    'products'
    """

    layer: str
    direction: str
    kind: str
    milliseconds: float


def place_of(name: str) -> tuple[str, str, str]:
    """Layer, direction and kind of an operation, from the name that JAX gave it.

    Args:
        name: such as "jit(step)/transpose(jvp(ResNet))/stage1/block0/conv2/pad".

    Returns:
        (layer, direction, kind), see `Share`.

    >>> place_of("jit(step)/transpose(jvp(ResNet))/stage1/block0/conv2/pad")
    ('stage1/block0/conv2', 'backward', 'rearrangements')
    >>> place_of("jit(step)/mul")
    ('', '', 'element by element')
    """
    words = name.split("/")
    kind = _KIND_OF.get(words[-1], KINDS[-1])
    # The network's own name stands inside jvp(…) when it is differentiated, else by itself.
    inside = [w for w in words[1:-1] if not re.fullmatch(r"(jit|while|body|cond|remat)\b.*", w)]
    if not inside:
        return "", "", kind
    direction = "backward" if any(w.startswith("transpose(") for w in inside) else "forward"
    return "/".join(w for w in inside[1:] if "(" not in w), direction, kind


def shares_of(text: str, events: Iterable[Mapping[str, Any]], runs: int) -> list[Share]:
    """Add up the events of a profile.

    Args:
        text: of the compiled program, in which operations have the names that JAX gave them.
        events: of a trace; those with "args" → "hlo_op" are operations, "dur" is in microseconds.
        runs: of the program in the trace.

    Returns:
        The longest first.

    >>> text = '%add.1 = f32[2] add(%a, %b), metadata={op_name="jit(f)/Net/conv/add"}'
    >>> shares_of(text, [{"dur": 3000.0, "args": {"hlo_op": "add.1"}}], 2)
    [Share(layer='conv', direction='forward', kind='element by element', milliseconds=1.5)]
    """
    names = {}
    for line in text.splitlines():
        if found := _NAMED.match(line):
            names[found["op"]] = found["name"]
    total: dict[tuple[str, str, str], float] = defaultdict(float)
    for event in events:
        operation = event.get("args", {}).get("hlo_op")
        if operation is None or "dur" not in event or _AROUND.fullmatch(operation):
            continue
        operation = operation.partition("__onednn$")[0]  # A trace adds what is called.
        if operation in names:
            place = place_of(names[operation])
        else:
            place = "", "", _UNNAMED.get(re.sub(r"[.\d]+$", "", operation), KINDS[-1])
        total[place] += event["dur"] / 1e3 / runs
    shares = [Share(*place, milliseconds) for place, milliseconds in total.items()]
    return sorted(shares, key=lambda share: -share.milliseconds)


def profile(program: Any, call: Callable[[], Any], runs: int = 3) -> list[Share]:
    """Run a compiled program under JAX's profiler and attribute its time.

    Operations that run side by side count in full, so that the sum may exceed the time on a clock.

    Args:
        program: compiled ahead (`jax.stages.Compiled`).
        call: runs it once.
        runs: of the program, after one to warm up.

    Returns:
        As `shares_of`.

    Raises:
        JaxnetsError: the profiler wrote nothing that can be read.

    >>> import jax.numpy as jnp
    >>> program = jax.jit(lambda x: x @ x).lower(jnp.ones((256, 256))).compile()
    >>> shares = profile(program, lambda: program(jnp.ones((256, 256))))
    >>> shares[0].milliseconds > 0
    True
    """
    jax.block_until_ready(call())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(runs):
                jax.block_until_ready(call())
        files = list(Path(folder).rglob("*.trace.json.gz"))
        if not files:
            raise JaxnetsError("JAX's profiler wrote no trace; its version may need another plugin")
        events = json.loads(gzip.decompress(files[0].read_bytes()))["traceEvents"]
    shares = shares_of(program.as_text(), events, runs)
    if not shares:
        raise JaxnetsError("JAX's profiler named no operation of the program on this backend")
    return shares


def by(shares: Iterable[Share], *, depth: int | None = None) -> dict[tuple[str, str], float]:
    """Milliseconds by layer and direction, or by kind and direction.

    Args:
        shares: of `profile`.
        depth: so many of a layer's names count; None: by kind.

    Returns:
        (layer or kind, direction) → milliseconds, the longest first.

    >>> shares = [Share("a/b", "forward", "sums", 1.0), Share("a/c", "forward", "sums", 2.0)]
    >>> by(shares, depth=1), by(shares)
    ({('a', 'forward'): 3.0}, {('sums', 'forward'): 3.0})
    """
    total: dict[tuple[str, str], float] = defaultdict(float)
    for share in shares:
        name = share.kind if depth is None else "/".join(share.layer.split("/")[:depth])
        total[name, share.direction] += share.milliseconds
    return dict(sorted(total.items(), key=lambda item: -item[1]))
