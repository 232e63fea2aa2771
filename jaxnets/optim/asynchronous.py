"""Asynchronous gradient descent: a parameter server, workers, and a bound on staleness.

DistBelief (Dean et al., "Large scale distributed deep networks", 2012) trained GoogLeNet this way.
A worker reads the parameters, computes a gradient on its own batch, and sends it to the server,
which applies it at once. Meanwhile others may have moved the parameters: a gradient read at version
v and applied at version w is w − v old, and `jaxnets.optim.staleness` sees to it that no older one
than allowed is applied. This file has

- a cluster on a virtual clock, `virtual_cluster`, that says which worker does what when;
- `replay`, which carries such a sequence of events out, the same each time, bit for bit;
- `train_threads`, the same server under real threads, whose events `replay` repeats exactly.
"""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import jax
import numpy as np
import optax

from jaxnets.optim.staleness import Events, Ledger, Ticket
from jaxnets.optim.trees import check_count, check_number

GradientFunction = Callable[[Any, Any], Any]


def round_robin(workers: int, steps: int) -> Events:
    """Workers of equal speed: all read at version 0, then take turns. Staleness min(k, n − 1).

    Args:
        workers: n.
        steps: updates in all.

    Returns:
        The events in the order of application, event k with batch k; a round takes time 1.

    Raises:
        ValueError: an argument is not a whole number of at least 1.

    >>> round_robin(3, 5).staleness.tolist()
    [0, 1, 2, 2, 2]
    """
    check_count("workers", workers, low=1)
    check_count("steps", steps, low=1)
    k = np.arange(steps, dtype=np.int32)
    version = np.maximum(k - (workers - 1), 0).astype(np.int32)
    return Events(k % workers, version, k, k // workers + 1.0)


def virtual_cluster(
    workers: int,
    steps: int,
    max_staleness: int,
    *,
    seed: int = 0,
    spread: float = 0.3,
    slowdown: Sequence[float] | None = None,
) -> Events:
    """The events of a cluster whose workers take random times for a gradient, on a virtual clock.

    Args:
        workers: n.
        steps: updates in all.
        max_staleness: τ. With τ ≥ n − 1 all workers may be at work together. With τ = n − 1 each
            must push once in every n updates, hence the clock is that of synchronous rounds; a
            straggler costs less the farther τ is above that.
        seed: of the times; the same arguments give the same events.
        spread: standard deviation of the logarithm of a time, whose median is 1.
        slowdown: factor on the times of each worker, for stragglers.

    Returns:
        The events in the order of application; `time` is when each was applied.

    Raises:
        ValueError: a count that is not whole or too small, a spread below 0, or a slowdown that is
            not one positive number a worker.

    >>> events = virtual_cluster(4, 100, max_staleness=3)
    >>> int(events.staleness.max())
    3
    """
    check_count("workers", workers, low=1)
    check_number("spread", spread, low=0)
    factors = np.ones(workers) if slowdown is None else np.asarray(slowdown, float)
    if factors.shape != (workers,) or not (factors > 0).all():
        raise ValueError(f"slowdown must be {workers} positive numbers, got {slowdown!r}")
    random = np.random.default_rng(seed)
    ledger = Ledger(max_staleness, steps)
    idle = deque(range(workers))
    working: list[tuple[float, Ticket]] = []
    waiting: list[Ticket] = []
    now = 0.0
    while ledger.version < steps:
        # A push lets others push and read, so go on until nobody moves.
        moved = True
        while moved:
            moved = False
            for ticket in list(waiting):
                if ledger.may_push(ticket):
                    ledger.push(ticket, now)
                    waiting.remove(ticket)
                    idle.append(ticket.worker)
                    moved = True
            while idle and ledger.may_read():
                ticket = ledger.read(idle.popleft())
                duration = factors[ticket.worker] * np.exp(spread * random.standard_normal())
                heapq.heappush(working, (now + duration, ticket))
                moved = True
        if working:
            now, ticket = heapq.heappop(working)
            waiting.append(ticket)
    return ledger.events()


def _applier(optimizer: optax.GradientTransformation) -> Callable:
    @jax.jit
    def apply(params, opt_state, grads):
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return apply


def replay(
    gradient: GradientFunction,
    params: Any,
    optimizer: optax.GradientTransformation,
    batch: Callable[[int], Any],
    events: Events,
    *,
    observe: Callable[[int, Any], None] | None = None,
) -> Any:
    """Carry out a sequence of events, the same each time, bit for bit.

    Event k applies the gradient that was taken at version ``events.version[k]``.

    Old versions are kept as long as an event still wants them, max staleness + 1 at most.

    Args:
        gradient: ``gradient(params, batch)``, a tree like `params`; it is jitted here.
        params: version 0.
        optimizer: what the server applies.
        batch: ``batch(i)`` gives the batch of number i.
        events: from `round_robin`, `virtual_cluster` or `train_threads`.
        observe: called as ``observe(k, params)`` after each update, with k from 1.

    Returns:
        The last parameters.

    Raises:
        ValueError: an event reads a version that is not there yet.

    >>> def gradient(x, target):  # of (x − target)² / 2
    ...     return x - target
    >>> events = round_robin(workers=2, steps=40)
    >>> x = replay(gradient, np.float32(0), optax.sgd(0.5), lambda i: np.float32(3), events)
    >>> round(float(x), 4)
    3.0
    """
    gradient, apply = jax.jit(gradient), _applier(optimizer)
    stale = events.staleness
    if len(stale) and (stale.min() < 0 or events.version.min() < 0):
        raise ValueError("events.version must lie between 0 and the number of the event")
    opt_state = optimizer.init(params)
    # versions[-1] is the current one, versions[-1 - s] is s updates old.
    versions = deque([params], maxlen=int(stale.max(initial=0)) + 1)
    for k in range(len(stale)):
        grads = gradient(versions[-1 - int(stale[k])], batch(int(events.batch[k])))
        params, opt_state = apply(params, opt_state, grads)
        versions.append(params)
        if observe is not None:
            observe(k + 1, params)
    return params


def train_threads(
    gradient: GradientFunction,
    params: Any,
    optimizer: optax.GradientTransformation,
    batch: Callable[[int], Any],
    *,
    steps: int,
    workers: int,
    max_staleness: int,
    before: Callable[[int, int], None] | None = None,
) -> tuple[Any, Events]:
    """Asynchronous gradient descent with one thread a worker.

    XLA releases Python's lock while it computes, so gradients are computed side by side.

    Args:
        gradient: ``gradient(params, batch)``.
        params: version 0.
        optimizer: what the server applies, one gradient at a time.
        batch: ``batch(i)``, called from the workers' threads, each i once.
        steps: updates in all.
        workers: threads.
        max_staleness: τ.
        before: called as ``before(worker, i)`` in the worker's thread before each gradient, for
            example to make one of them slow.

    Returns:
        The last parameters, and the events; ``replay`` with these gives the same parameters.

    Raises:
        Exception: whatever a worker raised first; the others are stopped.
        ValueError: a count that is not whole or too small.

    >>> parts = lambda x, target: x - target, np.float32(0), optax.sgd(0.5), np.float32
    >>> x, events = train_threads(*parts, steps=20, workers=2, max_staleness=1)
    >>> int(events.staleness.max()) <= 1, bool(replay(*parts, events) == x)
    (True, True)
    """
    check_count("workers", workers, low=1)
    ledger = Ledger(max_staleness, steps)
    gradient, apply = jax.jit(gradient), _applier(optimizer)
    server = {"params": params, "opt_state": optimizer.init(params)}
    turn = threading.Condition()
    failures: list[BaseException] = []
    # JAX's precision switch belongs to the thread that set it.
    precision = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    start = monotonic()

    def work(worker: int) -> None:
        while True:
            with turn:
                turn.wait_for(lambda: failures or ledger.exhausted or ledger.may_read())
                if failures or ledger.exhausted:
                    return
                ticket = ledger.read(worker)
                copy = server["params"]
            if before is not None:
                before(worker, ticket.number)
            grads = jax.block_until_ready(gradient(copy, batch(ticket.number)))
            with turn:
                turn.wait_for(lambda ticket=ticket: failures or ledger.may_push(ticket))
                if failures:
                    return
                new = apply(server["params"], server["opt_state"], grads)
                server["params"], server["opt_state"] = jax.block_until_ready(new)
                ledger.push(ticket, monotonic() - start)
                turn.notify_all()

    def guarded(worker: int) -> None:
        try:
            with jax.enable_x64(precision):
                work(worker)
        except BaseException as error:
            with turn:
                failures.append(error)
                turn.notify_all()

    threads = [threading.Thread(target=guarded, args=(w,), daemon=True) for w in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return server["params"], ledger.events()
