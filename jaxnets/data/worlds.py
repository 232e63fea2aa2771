"""Worlds of corridors to walk in: what is seen from each pose, and where each action leads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from jaxnets.errors import JaxnetsError

# Numbers of the actions beside jaxnets.data.text's first four; END is to stop.
FORWARD, LEFT, RIGHT = 4, 5, 6
ACTIONS: Final = {"FORWARD": FORWARD, "LEFT": LEFT, "RIGHT": RIGHT}
ACTION_TOKENS: Final = 7
ITEMS: Final = ("barstool", "chair", "easel", "hatrack", "lamp", "sofa")
FLOORS: Final = ("blue", "brick", "concrete", "flower", "grass", "gravel", "wood", "yellow")
WALLS: Final = ("butterfly", "fish", "tower")
# Facing 0 (y − 1), 90 (x + 1), 180 (y + 1), 270 (x − 1), as SAIL counts degrees.
_STEPS: Final = ((0, -1), (1, 0), (0, 1), (-1, 0))

Node = tuple[int, int]


@dataclass(frozen=True, eq=False)
class World:
    """Poses of one or several maps as numbers, for networks that walk under jit.

    Attributes:
        sight: (poses, F) float32, what is seen: in each direction, beginning ahead and going
            clockwise, whether there is a corridor, its floor and wall, the items in it and its
            length; and the item on the spot.
        moves: (poses, `ACTION_TOKENS`) int32, where an action leads; what cannot be done, and what
            is no action, leads nowhere.
        poses: (map, x, y, degrees) → number.

    >>> corridor = {((0, 0), (0, 1)): ("wood", "fish")}
    >>> world = build_world({"m": ({(0, 0): "", (0, 1): "sofa"}, corridor)})
    >>> start = world.poses["m", 0, 0, 90]
    >>> world.walk(start, [RIGHT, FORWARD]) == world.poses["m", 0, 1, 180]
    True
    """

    sight: np.ndarray
    moves: np.ndarray
    poses: Mapping[tuple[str, int, int, int], int]

    def walk(self, pose: int, actions: Sequence[int]) -> int:
        """The pose after some actions, up to the first that is none."""
        for action in actions:
            if action not in (FORWARD, LEFT, RIGHT):
                break
            pose = int(self.moves[pose, action])
        return pose


def build_world(
    maps: Mapping[str, tuple[Mapping[Node, str], Mapping[tuple[Node, Node], tuple[str, str]]]],
) -> World:
    """A `World` of maps.

    Args:
        maps: name → (node (x, y) → item or "", (node, node) → (floor, wall) of the corridor
            between neighbors).

    Returns:
        The `World`; maps share no corridor.

    Raises:
        JaxnetsError: a corridor between nodes that are no neighbors or not there, or an unknown
            item, floor or wall.

    >>> build_world({"m": ({(0, 0): "lamp"}, {})}).sight.shape
    (4, 82)
    """
    poses: dict[tuple[str, int, int, int], int] = {}
    for name, (nodes, _) in maps.items():
        for x, y in sorted(nodes):
            for turn in range(4):
                poses[name, x, y, 90 * turn] = len(poses)
    moves = np.repeat(np.arange(len(poses), dtype=np.int32)[:, None], ACTION_TOKENS, 1)
    sight = []
    for (name, x, y, degrees), number in poses.items():
        nodes, corridors = maps[name]
        both = _both_ways(name, nodes, corridors)
        ahead = (x + _STEPS[degrees // 90][0], y + _STEPS[degrees // 90][1])
        if ((x, y), ahead) in both:
            moves[number, FORWARD] = poses[name, *ahead, degrees]
        moves[number, LEFT] = poses[name, x, y, (degrees - 90) % 360]
        moves[number, RIGHT] = poses[name, x, y, (degrees + 90) % 360]
        views = [_look((x, y), (degrees // 90 + turn) % 4, nodes, both) for turn in range(4)]
        sight.append(np.concatenate([*views, _one_hot(nodes[x, y], ITEMS, name)]))
    return World(np.asarray(sight, np.float32), moves, poses)


def _both_ways(name, nodes, corridors):
    both = {}
    for (a, b), kinds in corridors.items():
        if abs(a[0] - b[0]) + abs(a[1] - b[1]) != 1 or a not in nodes or b not in nodes:
            raise JaxnetsError(f"map {name}: corridor {a} – {b}; expected neighboring nodes")
        both[a, b] = both[b, a] = kinds
    return both


def _look(place, direction, nodes, both) -> np.ndarray:
    """One direction: corridor, floor, wall, items by distance (next node, farther), length."""
    dx, dy = _STEPS[direction]
    floor, wall = both.get((place, (place[0] + dx, place[1] + dy)), ("", ""))
    items, length = np.zeros(len(ITEMS)), 0
    here = place
    while (here, ahead := (here[0] + dx, here[1] + dy)) in both:
        length += 1
        items = np.maximum(items, _one_hot(nodes[ahead], ITEMS, "") / length)
        here = ahead
    return np.concatenate(
        (
            [float(length > 0)],
            _one_hot(floor, FLOORS, ""),
            _one_hot(wall, WALLS, ""),
            items,
            [length / 8],
        )
    )


def _one_hot(value: str, known: Sequence[str], name: str) -> np.ndarray:
    if value and value not in known:
        raise JaxnetsError(f"map {name}: unknown {value!r}; expected one of {', '.join(known)}")
    return np.array([value == one for one in known], float)
