"""Walk through a network's jaxpr and note every layer: nothing is initialized, nothing runs.

What counts as a layer is said in `jaxnets.inspect.layer`.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from jaxnets.inspect.extents import EVERYTHING, Extent, step_of, union
from jaxnets.inspect.layer import Layer, Trace
from jaxnets.models.counting import abstract_variables, jaxpr_macs, run_direct
from jaxnets.models.features import call_keywords, features


@dataclasses.dataclass(frozen=True)
class _Data:
    """A value made of the image: what it sees of the input, and of the layer that it stems from."""

    seen: tuple[Extent, ...]
    local: tuple[Extent, ...]
    source: int
    name: str
    scope: str = ""


def trace_network(
    model: nn.Module, input_shape: Sequence[int], taps: Sequence[str] | None = None
) -> Trace:
    """Find the layers of any network that takes images first, in evaluation mode.

    Args:
        model: a Flax module.
        input_shape: (H, W, C) of one image.
        taps: endpoints and paths of submodules, as `jaxnets.models.features` takes them: then
            the outputs are theirs, by name, in place of the network's.

    Returns:
        The `Trace`.

    Example: two 3×3 convolutions, the first with stride 2; the second one's outputs see 7×7 pixels.

        >>> class TwoConvolutions(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, x, *, train=False):
        ...         x = nn.relu(nn.Conv(8, (3, 3), strides=2, padding=1, name="conv1")(x))
        ...         return nn.Conv(16, (3, 3), padding=1, name="conv2")(x)
        >>> traced = trace_network(TwoConvolutions(), (32, 32, 3))
        >>> [(layer.name, layer.shape, layer.field, layer.macs) for layer in traced.layers[1:]]
        [('conv1', (16, 16, 8), (3, 3), 55296), ('conv2', (16, 16, 16), (7, 7), 294912)]
    """
    input_shape = tuple(input_shape)
    variables = abstract_variables(model, input_shape)
    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)

    def run(variables, x):
        with nn.intercept_methods(run_direct):
            if taps is not None:
                return features(model, variables, x, taps=taps)
            return model.apply(variables, x, **call_keywords(model))

    closed, shapes = jax.make_jaxpr(run, return_shape=True)(variables, x)
    walk = _Walk(variables, input_shape)
    leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
    values: list[Any] = [frozenset([_owner(path)]) for path, _ in leaves]
    values.append(walk.data_input())
    outs = walk.run(closed.jaxpr, [frozenset()] * len(closed.consts), values, top=True)
    rows = [walk.closed_row(out, v.aval) for out, v in zip(outs, closed.jaxpr.outvars, strict=True)]
    outputs = jax.tree.unflatten(jax.tree.structure(shapes), rows)
    return Trace(tuple(walk.layers), outputs, tuple(walk.trunk))


class _Walk:
    """The state of one walk: rows so far, owners that have been shown."""

    def __init__(self, variables: Mapping[str, Any], input_shape: tuple[int, ...]):
        self.input_shape = input_shape
        self.layers: list[Layer] = []
        self.trunk: list[tuple[str, tuple[int, ...]]] = []
        self.rows: dict[str, int] = {}
        self.sources = 0
        self.open_pooling: tuple | None = None
        self.parameters: dict[str, int] = {}
        for path, leaf in jax.tree_util.tree_flatten_with_path(variables.get("params", {}))[0]:
            owner = "/".join(str(key.key) for key in path[:-1])
            self.parameters[owner] = self.parameters.get(owner, 0) + math.prod(leaf.shape)

    def data_input(self) -> _Data:
        rank = len(self.input_shape) - 1
        extents = tuple(Extent(1 + d, 1, 0, 0) for d in range(rank))
        data = _Data(extents, extents, self._new_source(), "input")
        self._append("input", "input", (1, *self.input_shape), data)
        self.trunk.append(("input", self.input_shape))
        return data

    def run(self, jaxpr: core.Jaxpr, consts, args, top: bool = False) -> list[Any]:
        """Interpret a jaxpr; values are `_Data`, or for all else the owners that they stem from."""
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        last_use = {v: i for i, e in enumerate(jaxpr.eqns) for v in e.invars if _is_var(v)}
        last_use.update({v: len(jaxpr.eqns) for v in jaxpr.outvars if _is_var(v)})
        alive = {v for v in env if isinstance(env[v], _Data)}
        for i, eqn in enumerate(jaxpr.eqns):
            values = [env[v] if _is_var(v) else frozenset() for v in eqn.invars]
            outs = self._equation(eqn, values, env)
            for v, out in zip(eqn.outvars, outs, strict=True):
                env[v] = out
                if isinstance(out, _Data):
                    alive.add(v)
            alive = {v for v in alive if last_use.get(v, -1) > i}
            if top and len(alive) == 1:
                self._pass_through(env[next(iter(alive))], next(iter(alive)).aval.shape)
        return [env[v] if _is_var(v) else frozenset() for v in jaxpr.outvars]

    def _equation(self, eqn, values, env) -> list[Any]:
        name = eqn.primitive.name
        inner = _body(eqn)
        if inner is not None:
            outs = self.run(inner.jaxpr, [frozenset()] * len(inner.consts), values)
            # A function that was compiled as one does not know from where it is called.
            where = _scope(eqn)
            return [
                dataclasses.replace(out, scope=where) if isinstance(out, _Data) and where else out
                for out in outs
            ]
        data = [(i, v) for i, v in enumerate(values) if isinstance(v, _Data)]
        owners = frozenset().union(*(v for v in values if isinstance(v, frozenset)))
        if not data:
            return [owners] * len(eqn.outvars)
        scope = _scope(eqn)
        product = name in ("conv_general_dilated", "dot_general")
        loop = name in ("scan", "while", "cond")
        sources = {v.source for _, v in data}
        flattens = name == "reshape" and _lost(eqn, data)
        if product or loop or owners or len(sources) > 1 or flattens or name == "concatenate":
            data = [(i, self._close(v, eqn.invars[i], env)) for i, v in data]
        if loop and _only_carries(eqn, values):
            closed = dict(data)
            return self._turn_by_turn(eqn, [closed.get(i, v) for i, v in enumerate(values)])
        if loop:
            return self._loop(eqn, data, owners)
        merged = None
        for i, value in data:
            step = step_of(eqn, i)
            moved = _Data(
                tuple(step(e) for e in value.seen),
                tuple(step(e) for e in value.local),
                value.source,
                value.name,
                scope,
            )
            merged = moved if merged is None else _merge(merged, moved)
        if product:
            kind = "conv" if name == "conv_general_dilated" else "dense"
            if len(data) > 1 or not owners:
                kind = "product" if len(data) > 1 else "pool"
            merged = self._product(eqn, merged, owners, kind, scope)
        elif len(sources) > 1 or flattens or name == "concatenate":
            merged = self._fresh(merged, scope or merged.name)
        if owners and not product:
            for owner in sorted(owners):
                if owner not in self.rows:
                    self._append(owner, "in place", eqn.outvars[0].aval.shape, merged, [owner])
        return [merged] * len(eqn.outvars)

    def _product(self, eqn, value: _Data, owners, kind: str, scope: str) -> _Data:
        macs = jaxpr_macs(SimpleNamespace(eqns=[eqn]))
        name = "+".join(sorted(owners)) or f"{scope}/{kind}".strip("/")
        window, fan_in = (), 0
        if kind == "conv":
            spec = eqn.params["dimension_numbers"].rhs_spec
            kernel = eqn.invars[1].aval.shape
            window, fan_in = tuple(kernel[a] for a in spec[2:]), kernel[spec[1]]
        before = self.layers[self.rows[value.name]] if value.name in self.rows else None
        value = self._fresh(value, name)
        shape = eqn.outvars[0].aval.shape
        if name in self.rows:
            # The same weights once more: one row, which does it all.
            row = self.layers[self.rows[name]]
            more = {"macs": row.macs + macs, "activations": row.activations + math.prod(shape)}
            self.layers[self.rows[name]] = dataclasses.replace(row, **more)
            return value
        more = {"macs": macs, "activations": math.prod(shape), "window": window, "fan_in": fan_in}
        self._append(name, kind, shape, value, sorted(owners), **more)
        if kind == "conv" and before is not None and max(before.window, default=0) == 1:
            # Behind a 1×1 that narrows a map which others read as well, as in a dense block.
            trunk = max(self.layers[-1].trunk, before.fan_in)
            self.layers[-1] = dataclasses.replace(self.layers[-1], trunk=trunk)
        return value

    def _turn_by_turn(self, eqn, values) -> list[Any]:
        """A loop over stacked parameters: the same layers again and again, one row for each."""
        body, kept = eqn.params["jaxpr"], eqn.params["num_consts"]
        end = kept + eqn.params["num_carry"]
        consts, carry, stacked = values[:kept], values[kept:end], values[end:]
        for _ in range(eqn.params["length"]):
            inner = [frozenset()] * len(body.consts)
            carry = self.run(body.jaxpr, inner, [*consts, *carry, *stacked])
        return carry

    def _loop(self, eqn, data, owners) -> list[Any]:
        name = "+".join(sorted(owners)) or _scope(eqn) or eqn.primitive.name
        gone = tuple(Extent(None, *EVERYTHING) for _ in self.input_shape[:-1])
        value = self._fresh(_Data(gone, gone, 0, name), name)
        shape = eqn.outvars[0].aval.shape
        macs = jaxpr_macs(SimpleNamespace(eqns=[eqn]))
        activations = sum(math.prod(v.aval.shape) for v in eqn.outvars)
        more = {"macs": macs, "activations": activations}
        self._append(name, "loop", shape, value, sorted(owners), **more)
        return [value] * len(eqn.outvars)

    def _close(self, value: _Data, var, env) -> _Data:
        """End a pooling, if ``value`` is one, where something else begins to use it."""
        window = tuple(e.size for e in value.local)
        plain = all(e.size == 1 and (e.axis is None or e.jump == 1) for e in value.local)
        if plain or not all(math.isfinite(w) for w in window):
            return value
        kind = "pool" if max(window) > 1 else "subsample"
        name = self._unused(f"{value.scope}/{kind}" if value.scope else kind)
        closed = self._fresh(value, name)
        shape = var.aval.shape
        if self.open_pooling == (value.source, value.local, shape):
            self.trunk.append((name, tuple(shape[1:])))
        self._append(name, kind, shape, closed, activations=math.prod(shape), window=window)
        if _is_var(var):
            env[var] = closed
        return closed

    def closed_row(self, value: Any, aval) -> Layer:
        """The row of an array that the network returns."""
        if not isinstance(value, _Data):
            return Layer("constant", "in place", tuple(aval.shape[1:]))
        return self._row(value.name, "output", aval.shape, value)

    def _pass_through(self, value: _Data, shape: tuple[int, ...]) -> None:
        grid = [e.axis for e in value.seen]
        if None in grid or max(shape[a] for a in grid) == 1:
            return
        if any(e.size > 1 or e.jump != 1 for e in value.local):
            # Perhaps half a pooling; if this was all of it, `_close` says so.
            self.open_pooling = (value.source, value.local, shape)
            return
        if self.trunk[-1][1] == tuple(shape[1:]):
            return
        self.trunk.append((value.name, tuple(shape[1:])))

    def _fresh(self, value: _Data, name: str) -> _Data:
        local = tuple(Extent(e.axis, int(e.axis is not None), 0, 0) for e in value.seen)
        return dataclasses.replace(value, local=local, source=self._new_source(), name=name)

    def _new_source(self) -> int:
        self.sources += 1
        return self.sources

    def _unused(self, name: str) -> str:
        """pool1, pool2, … in the network itself; the first in a module needs no number."""
        if "/" in name and name not in self.rows:
            return name
        return next(n for i in itertools.count(1) if (n := f"{name}{i}") not in self.rows)

    def _append(self, name, kind, shape, value, owners=(), **more) -> None:
        parameters = sum(self.parameters.pop(owner, 0) for owner in owners)
        for owner in (name, *owners):
            self.rows.setdefault(owner, len(self.layers))
        if kind == "input":
            more["activations"] = math.prod(shape)
        trunk = self.trunk[-1][1][-1] if self.trunk else 0
        row = self._row(name, kind, shape, value)
        self.layers.append(dataclasses.replace(row, parameters=parameters, trunk=trunk, **more))

    def _row(self, name, kind, shape, value: _Data) -> Layer:
        all_seen = True
        for extent, size in zip(value.seen, self.input_shape, strict=False):
            middle = shape[extent.axis] // 2 if extent.axis is not None else 0
            offset = extent.jump * middle
            all_seen &= extent.low + offset <= 0 and extent.high + offset >= size - 1
        finite = all(math.isfinite(e.size) for e in value.seen)
        return Layer(
            name,
            kind,
            tuple(shape[1:]),
            field=tuple(e.size for e in value.seen),
            jump=tuple(e.jump for e in value.seen),
            start=tuple((e.low + e.high) / 2 if finite else math.nan for e in value.seen),
            sees_all=bool(all_seen),
        )


def _merge(a: _Data, b: _Data) -> _Data:
    seen = tuple(map(union, a.seen, b.seen))
    local = tuple(map(union, a.local, b.local))
    return dataclasses.replace(a, seen=seen, local=local, name=a.name)


def _lost(eqn, data) -> bool:
    """Whether a reshape puts away an axis of the map that has more than one element."""
    for i, value in data:
        step, shape = step_of(eqn, i), eqn.invars[i].aval.shape
        for extent in value.seen:
            if extent.axis is not None and shape[extent.axis] > 1 and step(extent).axis is None:
                return True
    return False


def _body(eqn) -> core.ClosedJaxpr | None:
    """The one jaxpr that a call runs on exactly its own inputs."""
    if eqn.primitive.name in ("scan", "while", "cond"):
        return None
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(key)
        if isinstance(inner, core.Jaxpr):
            inner = core.ClosedJaxpr(inner, ())
        if isinstance(inner, core.ClosedJaxpr) and len(inner.jaxpr.invars) == len(eqn.invars):
            return inner
    return None


def _only_carries(eqn, values) -> bool:
    """Whether a loop is a scan that hands a map on from turn to turn and neither cuts up nor
    collects any."""
    if eqn.primitive.name != "scan":
        return False
    first = eqn.params["num_consts"] + eqn.params["num_carry"]
    cut = any(isinstance(v, _Data) for v in values[first:])
    return not cut and len(eqn.outvars) == eqn.params["num_carry"]


def _is_var(atom) -> bool:
    return not isinstance(atom, core.Literal)


def _owner(path) -> str:
    return "/".join(str(key.key) for key in path[1:-1])


def _scope(eqn) -> str:
    """Path of the module that an equation was written in, without the network's own name."""
    parts = str(getattr(eqn.source_info, "name_stack", "")).split("/")[1:]
    # A helper method of the network shows as Class.method.
    return "/".join(part for part in parts if "." not in part)
