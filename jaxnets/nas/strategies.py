"""Ways to search: each is asked for architectures and told what they were worth.

What a strategy asks depends on its seed and on what it was told, on nothing else: a search that was
stopped is replayed from its store.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.errors import JaxnetsError
from jaxnets.nas.controller import init_controller, read, write
from jaxnets.nas.space import Architecture, SearchSpace


class Strategy(Protocol):
    """What `jaxnets.nas.search` needs.

    >>> isinstance(RandomSearch(SearchSpace("empty", ()), seed=0).describe(), dict)
    True
    """

    space: SearchSpace

    def ask(self, count: int) -> list[Architecture]:
        """The next architectures to try."""
        ...

    def tell(self, architectures: Sequence[Architecture], rewards: Sequence[float]) -> None:
        """What they were worth; higher is better."""
        ...

    def describe(self) -> dict[str, Any]:
        """What decides the search, as JSON values."""
        ...


class RandomSearch:
    """Architectures drawn evenly.

    Args:
        space: to search.
        seed: of the drawing.

    >>> from jaxnets.nas.space import macro_space
    >>> len(RandomSearch(macro_space(), seed=0).ask(3))
    3
    """

    def __init__(self, space: SearchSpace, *, seed: int):
        self.space, self._seed = space, seed
        self._random = np.random.default_rng(seed)

    def ask(self, count: int) -> list[Architecture]:
        """Draw."""
        return [self.space.draw(self._random) for _ in range(count)]

    def tell(self, architectures: Sequence[Architecture], rewards: Sequence[float]) -> None:
        """Nothing is learned."""

    def describe(self) -> dict[str, Any]:
        """Name, space and seed."""
        return {"strategy": "random", "space": self.space.name, "seed": self._seed}


class RegularizedEvolution:
    """Mutate the best of a sample of the population; the oldest dies.

    Args:
        space: to search.
        seed: of all drawing.
        population: architectures alive; as many are drawn evenly at first.
        sample: of which the best is the parent.

    Raises:
        JaxnetsError: a sample larger than the population, or below 1.

    Source: Real, Aggarwal, Huang, Le, "Regularized Evolution for Image Classifier Architecture
    Search", 2019, algorithm 1.

    >>> from jaxnets.nas.space import macro_space
    >>> evolution = RegularizedEvolution(macro_space(), seed=0, population=2, sample=2)
    >>> first = evolution.ask(2)
    >>> evolution.tell(first, [0.1, 0.9])
    >>> sum(a != b for a, b in zip(evolution.ask(1)[0], first[1]))  # a child of the better one
    1
    """

    def __init__(self, space: SearchSpace, *, seed: int, population: int = 50, sample: int = 10):
        if not 1 <= sample <= population:
            raise JaxnetsError(
                f"sample must be from 1 to the population ({population}), got {sample}"
            )
        self.space, self._seed, self._sample = space, seed, sample
        self._alive: deque[tuple[Architecture, float]] = deque(maxlen=population)
        self._random = np.random.default_rng(seed)
        self._asked = 0

    def ask(self, count: int) -> list[Architecture]:
        """At first random ones, then children."""
        found = []
        for _ in range(count):
            if self._asked < (self._alive.maxlen or 0) or not self._alive:
                found.append(self.space.draw(self._random))
            else:
                size = min(self._sample, len(self._alive))
                chosen = self._random.choice(len(self._alive), size, replace=False)
                parent = max((self._alive[i] for i in chosen), key=lambda one: one[1])[0]
                found.append(self.space.mutate(self._random, parent))
            self._asked += 1
        return found

    def tell(self, architectures: Sequence[Architecture], rewards: Sequence[float]) -> None:
        """They join the population."""
        self._alive.extend(zip(architectures, map(float, rewards), strict=True))

    def describe(self) -> dict[str, Any]:
        """All settings."""
        own = {"population": self._alive.maxlen, "sample": self._sample}
        return {"strategy": "evolution", "space": self.space.name, "seed": self._seed, **own}


def reinforce_loss(
    params: Any,
    tokens: jax.Array,
    advantages: jax.Array,
    *,
    space: SearchSpace,
    entropy_weight: float = 0.0,
) -> jax.Array:
    """What REINFORCE descends: its gradient is that of −E[R] − β H, unbiased.

    .. math:: L(θ) = -\\frac{1}{m} \\sum_k (R_k - b) \\log P(a_k; θ) - β \\frac{1}{m} \\sum_k H_k

    Args:
        params: of the controller.
        tokens: (m, T), drawn from it.
        advantages: (m,), R − b with a baseline that does not depend on these architectures.
        space: what the controller writes.
        entropy_weight: β.

    Returns:
        A scalar.

    Source: Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist
    Reinforcement Learning", 1992; Zoph, Le, 2017, section 3.2.

    >>> from jaxnets.nas.space import Token
    >>> space = SearchSpace("one", (Token("a", (0, 1)),))
    >>> params = init_controller(jax.random.key(0), space, scale=0.0)
    >>> loss = reinforce_loss(params, jnp.array([[1]]), jnp.array([2.0]), space=space)
    >>> round(float(loss), 4)  # −2 log ½
    1.3863
    """
    found = read(params, tokens, space=space)
    gain = (advantages * found.log_probs).mean() + entropy_weight * found.entropies.mean()
    return -gain


class Reinforce:
    """A controller that is taught by REINFORCE with a moving average as baseline.

    Args:
        space: to search.
        seed: of parameters and drawing.
        learning_rate: of Adam.
        entropy_weight: of the bonus for undecided controllers.
        baseline_decay: of the moving average of rewards.
        hidden: units of the LSTM.
        layers: of the LSTM.

    Source: Zoph, Le, 2017, sections 3.2 and 4.1 (Adam at 0.0006, two layers of 35 units).

    >>> from jaxnets.nas.space import macro_space
    >>> controller = Reinforce(macro_space(), seed=0)
    >>> asked = controller.ask(4)
    >>> controller.tell(asked, [1.0, 2.0, 3.0, 4.0])
    >>> controller.baseline
    2.5
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        learning_rate: float = 6e-4,
        entropy_weight: float = 0.0,
        baseline_decay: float = 0.9,
        hidden: int = 35,
        layers: int = 2,
    ):
        self.space, self._key = space, jax.random.key(seed)
        self._settings = {
            "learning_rate": learning_rate,
            "entropy_weight": entropy_weight,
            "baseline_decay": baseline_decay,
            "hidden": hidden,
            "layers": layers,
            "seed": seed,
        }
        first = jax.random.fold_in(self._key, 0)
        self.params = init_controller(first, space, hidden=hidden, layers=layers)
        self._opt_state = optax.adam(learning_rate).init(self.params)
        self.baseline: float | None = None
        self._asked = 0

    def ask(self, count: int) -> list[Architecture]:
        """Let the controller write."""
        self._asked += 1
        key = jax.random.fold_in(self._key, self._asked)
        found = write(key, self.params, space=self.space, count=count)
        return [tuple(map(int, row)) for row in np.asarray(found.tokens)]

    def tell(self, architectures: Sequence[Architecture], rewards: Sequence[float]) -> None:
        """One update of the controller, then of the baseline."""
        found = np.asarray(rewards, np.float32)
        mean = float(found.mean())
        baseline = mean if self.baseline is None else self.baseline
        self.params, self._opt_state = _update(
            self.params,
            self._opt_state,
            jnp.asarray(architectures, jnp.int32),
            jnp.asarray(found - np.float32(baseline)),
            space=self.space,
            learning_rate=self._settings["learning_rate"],
            entropy_weight=self._settings["entropy_weight"],
        )
        decay = self._settings["baseline_decay"]
        self.baseline = mean if self.baseline is None else decay * baseline + (1 - decay) * mean

    def most_likely(self, *, count: int = 256) -> Architecture:
        """Of so many that it writes, the one that it writes with the greatest probability."""
        key = jax.random.fold_in(self._key, 0x7FFFFFFF)
        found = write(key, self.params, space=self.space, count=count)
        return tuple(map(int, np.asarray(found.tokens)[int(jnp.argmax(found.log_probs))]))

    def describe(self) -> dict[str, Any]:
        """All settings."""
        return {"strategy": "reinforce", "space": self.space.name, **self._settings}


@partial(jax.jit, static_argnames=("space", "learning_rate", "entropy_weight"))
def _update(params, opt_state, tokens, advantages, *, space, learning_rate, entropy_weight):
    gradient = jax.grad(reinforce_loss)(
        params, tokens, advantages, space=space, entropy_weight=entropy_weight
    )
    updates, opt_state = optax.adam(learning_rate).update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
