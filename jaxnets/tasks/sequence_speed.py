"""Layers and networks of sequences as work to be timed beside `jaxnets.study.sequence_peer`."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets import nn, ops
from jaxnets.data.text import END, START
from jaxnets.models.sequence import RNNSearch
from jaxnets.study.programs import compile_ahead
from jaxnets.study.timing import Timing
from jaxnets.tasks.writing import sequence_to_sequence
from jaxnets.tasks.writing_training import warm_adam
from jaxnets.train import create_state, train_step

Call = Callable[[], Any]


def sequence_work(case: Mapping[str, Any]) -> Call:
    """The compiled work of a case, as a function without arguments.

    * "lstm": layers of ``units`` over (``batch``, ``time``, ``units``); with ``train`` the
      gradients by the weights.
    * "attention": scaled dot products of ``batch`` × ``heads`` × ``time`` × ``features``, perhaps
      in blocks of ``block_size``; with ``train`` the gradients by query, key and value.
    * "translation": a `jaxnets.models.sequence.RNNSearch` of ``units``, ``embedding`` and
      ``vocabulary`` on ``batch`` sentences of ``time`` tokens; with ``train`` an update by Adam,
      else a search with ``beams`` that writes ``time`` tokens of each, none of which ends it.

    Args:
        case: ``kind``, ``train``, sizes, and perhaps ``dtype``.

    Returns:
        A function that runs it and returns arrays to wait for.

    Raises:
        KeyError: a case that lacks a size, or of an unknown kind.

    >>> case = {"kind": "lstm", "train": False, "layers": 1, "units": 3, "batch": 2, "time": 5}
    >>> sequence_work(case)().shape
    (2, 5, 3)
    """
    dtype = jnp.dtype(case.get("dtype", "float32"))
    return {"lstm": _lstm, "attention": _attention, "translation": _translation}[case["kind"]](
        case, dtype
    )


def _lstm(case: Mapping[str, Any], dtype) -> Call:
    layer, key = nn.Recurrent(case["units"], layers=case["layers"], dtype=dtype), jax.random.key(0)
    x = jax.random.normal(key, (case["batch"], case["time"], case["units"])).astype(dtype)
    variables = jax.jit(layer.init)(key, x)

    def forward(variables, x):
        return layer.apply(variables, x)[0]

    def total(variables, x):
        return forward(variables, x).sum()

    work = compile_ahead(jax.grad(total) if case["train"] else forward, variables, x).program
    return partial(work, variables, x)


def _attention(case: Mapping[str, Any], dtype) -> Call:
    shape = (3, *(case[name] for name in ("batch", "heads", "time", "features")))
    arguments = tuple(jax.random.normal(jax.random.key(0), shape).astype(dtype))

    def forward(q, k, v):
        return ops.attend(q, k, v, block_size=case.get("block_size"))[0]

    def total(q, k, v):
        return forward(q, k, v).sum()

    work = jax.grad(total, (0, 1, 2)) if case["train"] else forward
    return partial(compile_ahead(work, *arguments).program, *arguments)


def _translation(case: Mapping[str, Any], dtype) -> Call:
    words, task = case["vocabulary"], sequence_to_sequence()
    model = RNNSearch(words, words, case["units"], case["embedding"], dtype=dtype)
    key, shape = jax.random.key(0), (case["batch"], case["time"])
    tokens = jax.random.randint(key, shape, END + 1, words)
    mask = jnp.ones(shape, bool)
    batch = {"tokens": tokens, "token_mask": mask, "targets": tokens, "target_mask": mask}
    state = create_state(model, warm_adam(1e-3, 1000), batch, key, task=task)
    if case["train"]:
        update = jax.jit(partial(train_step, task=task), donate_argnums=0)
        step = compile_ahead(update, state, batch).program

        def train():
            nonlocal state
            state, metrics = step(state, batch)
            return metrics["loss"]

        return train
    # The end is never likely: as many tokens are written as there is room for.
    params = {**state.params, "head": {**state.params["head"]}}
    params["head"]["bias"] = params["head"]["bias"].at[END].set(-1e9)

    def search(params, tokens):
        carry = model.apply({"params": params}, tokens, method="encode")
        step = partial(model.apply, {"params": params}, method="step")
        starts = jnp.full(len(tokens), START)
        limits = {"end": END, "max_length": case["time"], "beams": case["beams"]}
        return ops.beam_search(step, carry, starts, **limits).tokens[:, 0]

    return partial(compile_ahead(search, params, tokens).program, params, tokens)


def time_by_turns(
    calls: Mapping[str, Call],
    *,
    rounds: int,
    peer: Callable[[], float] | None = None,
    pause: float = 0.0,
) -> dict[str, Timing]:
    """Times of calls, and of a peer that measures itself: in every round each has its turn.

    Args:
        calls: name → what to run and wait for.
        rounds: that count, behind one that warms up.
        peer: runs once and returns its own seconds; it is called "torch".
        pause: seconds before each turn, in which the threads of the one before come to rest.

    Returns:
        Name → `jaxnets.study.timing.Timing`.

    >>> found = time_by_turns({"ours": lambda: jnp.ones(3)}, rounds=4, peer=lambda: 0.25)
    >>> len(found["ours"].seconds), found["torch"].median
    (4, 0.25)
    """

    def seconds(name: str) -> float:
        time.sleep(pause)
        if name == "torch" and peer is not None:
            return peer()
        start = time.perf_counter()
        jax.block_until_ready(calls[name]())
        return time.perf_counter() - start

    names = (*calls, "torch") if peer is not None else tuple(calls)
    turns = [{name: seconds(name) for name in names} for _ in range(rounds + 1)]
    return {
        name: Timing(tuple(turn[name] for turn in turns[1:]), first_seconds=turns[0][name])
        for name in names
    }
