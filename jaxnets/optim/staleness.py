"""Who may read and who may push, so that no gradient older than τ updates is applied."""

from typing import NamedTuple

import numpy as np

from jaxnets.optim.trees import check_count


class Events(NamedTuple):
    """One entry for every update of the server, in the order in which they were applied.

    Event k makes version k + 1 of the parameters, so that k − version is its staleness.

    Attributes:
        worker: who computed the gradient, shape (steps,), int32.
        version: of the parameters that it was computed at, shape (steps,), int32.
        batch: number of the batch that it was computed on, shape (steps,), int32.
        time: when it was applied, shape (steps,); seconds, or the virtual clock's units.
    """

    worker: np.ndarray
    version: np.ndarray
    batch: np.ndarray
    time: np.ndarray

    @property
    def staleness(self) -> np.ndarray:
        """Updates that had been applied between reading and pushing."""
        return np.arange(len(self.version)) - self.version


class Ticket(NamedTuple):
    """What a worker holds between reading and pushing.

    Attributes:
        number: of the ticket, in the order of issue; also that of the batch.
        worker: who holds it.
        version: of the parameters that were read.
    """

    number: int
    worker: int
    version: int


class Ledger:
    """Who has read what and not pushed yet, and who therefore may read or push now.

    A ticket read at version v must be applied at version v + τ at the latest, one update each
    version. Hence no more than τ + 1 tickets may be out, and a push must wait if, after it, the
    tickets due by some version outnumbered the updates left until then. Whoever is due first may
    always push, so nobody waits for ever.

    Args:
        max_staleness: τ; 0 is serial gradient descent, whatever the number of workers.
        steps: tickets to issue in all.

    >>> ledger = Ledger(max_staleness=1, steps=10)
    >>> first, second = ledger.read(worker=0), ledger.read(worker=1)
    >>> ledger.may_read()
    False
    >>> ledger.push(second, time=1.0)
    >>> third = ledger.read(worker=1)
    >>> ledger.may_push(third), ledger.may_push(first)
    (False, True)
    """

    def __init__(self, max_staleness: int, steps: int):
        check_count("max_staleness", max_staleness)
        check_count("steps", steps, low=1)
        self.max_staleness, self.steps = max_staleness, steps
        self.version = 0
        self.issued = 0
        self._out: dict[int, Ticket] = {}
        self._log: list[tuple[int, int, int, float]] = []

    @property
    def exhausted(self) -> bool:
        """Whether all tickets have been issued."""
        return self.issued == self.steps

    def may_read(self) -> bool:
        """Whether one more ticket can be applied in time."""
        return not self.exhausted and len(self._out) <= self.max_staleness

    def read(self, worker: int) -> Ticket:
        """Issue a ticket for the current version."""
        if not self.may_read():
            raise ValueError(f"worker {worker} may not read now; ask may_read() first")
        ticket = Ticket(self.issued, worker, self.version)
        self._out[ticket.number] = ticket
        self.issued += 1
        return ticket

    def may_push(self, ticket: Ticket) -> bool:
        """Whether all other tickets can still be applied in time after this one."""
        others = (t.version for t in self._out.values() if t.number != ticket.number)
        for ahead, version in enumerate(sorted(others), start=1):
            if self.version + ahead > version + self.max_staleness:
                return False
        return True

    def push(self, ticket: Ticket, time: float) -> None:
        """Note that the ticket's gradient has been applied."""
        if not self.may_push(ticket):
            raise ValueError(f"worker {ticket.worker} may not push now; ask may_push() first")
        del self._out[ticket.number]
        self._log.append((ticket.worker, ticket.version, ticket.number, time))
        self.version += 1

    def events(self) -> Events:
        """All pushes so far."""
        worker, version, batch, time = zip(*self._log, strict=True)
        return Events(
            np.array(worker, np.int32),
            np.array(version, np.int32),
            np.array(batch, np.int32),
            np.array(time),
        )
