"""An interpreter of jaxprs that knows a rectifier when it meets one, and named layers.

It runs what a network was traced to, operation by operation, and changes on the way what it is told
to: the backward rule of rectifiers, however they were written (`jax.nn.relu`, ``jnp.maximum(x,
0)``, ``jnp.where(x > 0, x, 0)``), that of local response normalizations, and the value of a layer.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxnets.interpret.rules import straight_through

MARK = "layer:"
# Calls whose bodies run on exactly their own inputs; what they are compiled or remembered for does
# not matter here.
INLINED = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint")
# The function in `jaxnets.ops.local_response_norm` that has a derivative of its own.
LOCAL_RESPONSE_NORM = "_normalize_responses"


@dataclass(frozen=True)
class Rules:
    """What a backward pass does at some operations, in place of their derivatives.

    Attributes:
        relu: in place of every rectifier; None leaves their derivative.
        identity_lrn: local response normalizations pass gradients on unchanged.

    >>> Rules().relu is None
    True
    """

    relu: Callable[[jax.Array], jax.Array] | None = None
    identity_lrn: bool = False


GRADIENT = Rules()


class Collected:
    """The values of the wanted layer, in the order in which they were met.

    >>> Collected().values
    []
    """

    def __init__(self):
        self.values: list[jax.Array] = []


class Interpreter:
    """Runs a jaxpr with other rules and other values; calls inside it are run in place.

    Attributes:
        rules: see `Rules`.
        marked: path of the submodule whose value is wanted.
        edit: of the wanted value.
        found: collects it.
        places: variables of the outermost jaxpr whose values are wanted.

    >>> closed = jax.make_jaxpr(jax.nn.relu)(1.0)
    >>> Interpreter(GRADIENT).run(closed.jaxpr, [], [-2.0])[0].item()
    0.0
    """

    def __init__(
        self,
        rules: Rules,
        *,
        marked: str | None = None,
        edit: Callable[[jax.Array], jax.Array] | None = None,
        found: "Collected | None" = None,
        places: Sequence[Any] = (),
    ):
        self.rules, self.marked, self.edit = rules, marked, edit
        self.found, self.places = found or Collected(), places
        # A comparison x > 0 → x; kept alive, so that ids stay theirs.
        self.signs: dict[int, tuple[Any, Any]] = {}

    def run(self, jaxpr: core.Jaxpr, consts, args, zeros=frozenset()) -> list[Any]:
        """The values of a jaxpr's outputs.

        Args:
            jaxpr: an open jaxpr.
            consts, args: values of its constants and inputs.
            zeros: places of inputs that are known to be zero.

        Returns:
            A list of arrays.
        """
        env = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        env.update({v: self._wanted(env[v]) for v in jaxpr.invars if v in self.places})
        zero = {jaxpr.invars[i] for i in zeros}

        def is_zero(v):
            if isinstance(v, core.Literal):
                return jnp.ndim(v.val) == 0 and v.val == 0
            return v in zero

        for eqn in jaxpr.eqns:
            values = [v.val if isinstance(v, core.Literal) else env[v] for v in eqn.invars]
            known = [is_zero(v) for v in eqn.invars]
            if eqn.primitive.name in ("broadcast_in_dim", "convert_element_type") and known[0]:
                zero.add(eqn.outvars[0])
            outs = self._equation(eqn, values, known)
            for v, out in zip(eqn.outvars, outs, strict=True):
                env[v] = self._wanted(out) if v in self.places else out
        return [v.val if isinstance(v, core.Literal) else env[v] for v in jaxpr.outvars]

    def _wanted(self, value):
        self.found.values.append(value)
        return value if self.edit is None else self.edit(value)

    def _equation(self, eqn, values, zero) -> list[Any]:
        name = eqn.primitive.name
        if name == "name" and eqn.params["name"] == f"{MARK}{self.marked}":
            return [self._wanted(values[0])]
        body = _body(eqn)
        if body is not None:
            return self._inner(body, values, zero)
        if name == "scan":
            return self._scan(eqn, values)
        if name == "cond":
            index, *operands = values
            branches = [
                functools.partial(self._branch, branch) for branch in eqn.params["branches"]
            ]
            return list(jax.lax.switch(index, branches, *operands))
        if self.rules.identity_lrn and _function_name(eqn) == LOCAL_RESPONSE_NORM:
            return [straight_through(lambda x: bind_equation(eqn, [x])[0], values[0])]
        if self.rules.relu is not None:
            if name == "custom_jvp_call" and _only_rectifies(eqn.params["call_jaxpr"].jaxpr):
                return self._inner(eqn.params["call_jaxpr"], values, zero)
            rectified = self._rectified(eqn, values, zero)
            if rectified is not None:
                return [self.rules.relu(rectified)]
        outs = bind_equation(eqn, values)
        if name in ("gt", "ge") and zero[1]:
            self.signs[id(outs[0])] = (outs[0], values[0])
        return outs

    def _rectified(self, eqn, values, zero):
        """What an equation rectifies, if that is all that it does."""
        aval = eqn.outvars[0].aval
        if eqn.primitive.name == "max" and jnp.issubdtype(aval.dtype, jnp.floating):
            kept = [v for v, known in zip(values, zero, strict=True) if not known]
            return kept[0] if len(kept) == 1 and jnp.shape(kept[0]) == aval.shape else None
        if eqn.primitive.name == "select_n" and len(values) == 3 and zero[1]:
            sign = self.signs.get(id(values[0]))
            return values[2] if sign is not None and sign[1] is values[2] else None
        return None

    def _inner(self, body: core.ClosedJaxpr, values, zero=()) -> list[Any]:
        places = frozenset(i for i, known in enumerate(zero) if known)
        return self.run(body.jaxpr, body.consts, values, places)

    def _branch(self, body, *values):
        return Interpreter(self.rules)._inner(body, values)

    def _scan(self, eqn, values) -> list[Any]:
        body, params = eqn.params["jaxpr"], eqn.params
        kept, end = params["num_consts"], params["num_consts"] + params["num_carry"]

        def turn(carry, xs):
            outs = self._branch(body, *values[:kept], *carry, *xs)
            return outs[: params["num_carry"]], outs[params["num_carry"] :]

        options = {name: params[name] for name in ("length", "reverse", "unroll")}
        carry, ys = jax.lax.scan(turn, list(values[kept:end]), list(values[end:]), **options)
        return [*carry, *ys]


def _body(eqn) -> core.ClosedJaxpr | None:
    if eqn.primitive.name not in INLINED:
        return None
    body = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    if isinstance(body, core.Jaxpr):
        body = core.ClosedJaxpr(body, ())
    return body


def bind_equation(eqn, values) -> list[Any]:
    params, functions = eqn.primitive.get_bind_params(eqn.params), ()
    if isinstance(params, tuple):  # JAX before 0.10
        functions, params = params
    outs = eqn.primitive.bind(*functions, *values, **params)
    return list(outs) if eqn.primitive.multiple_results else [outs]


def _function_name(eqn) -> str | None:
    if eqn.primitive.name != "custom_jvp_call":
        return None
    return eqn.params["call_jaxpr"].jaxpr.debug_info.func_name


def _only_rectifies(jaxpr: core.Jaxpr) -> bool:
    """Whether a function does nothing but clip: `jax.nn.relu`, `jax.nn.relu6`."""
    for eqn in jaxpr.eqns:
        body = _body(eqn)
        inside = _only_rectifies(body.jaxpr) if body is not None else False
        if not inside and eqn.primitive.name not in ("max", "min"):
            return False
    clips = [e for e in jaxpr.eqns if e.primitive.name in ("max", "min")]
    return all(any(isinstance(v, core.Literal) for v in e.invars) for e in clips)
