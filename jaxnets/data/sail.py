"""SAIL: instructions in English for walks through three maps, and instructions made from a seed."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.data.archives import unpacked
from jaxnets.data.text.files import read_lines
from jaxnets.data.worlds import ACTIONS, FLOORS, ITEMS, WALLS, World, build_world
from jaxnets.errors import JaxnetsError

MAPS = ("grid", "jelly", "l")


class Instruction(NamedTuple):
    """A sentence, and the walk that it asks for.

    Attributes:
        map: name of the map.
        sentence: words with spaces between them.
        start: number of the pose at the start, see `jaxnets.data.worlds.World`.
        actions: numbers of the actions, without the stop.
        end: number of the pose at the end.

    >>> Instruction("grid", "turn left", 3, (5,), 2).actions
    (5,)
    """

    map: str
    sentence: str
    start: int
    actions: tuple[int, ...]
    end: int


def read_sail(path: str | Path) -> tuple[World, list[Instruction]]:
    """The three maps of SAIL and their single sentences with their walks.

    Args:
        path: a folder with ``map-grid.xml``, ``grid.settrc`` and the like, or a .tar.gz of it.

    Returns:
        (the world, the instructions). A sentence that asks for nothing has no actions.

    Raises:
        JaxnetsError: nothing there, or lines that are no walk.

    Source: MacMahon et al. 2006 (Walk the Talk: Connecting Language, Knowledge, and Action in Route
    Instructions); single sentences: Chen & Mooney 2011 (Learning to Interpret Natural Language
    Navigation Instructions from Observations), §3.

    >>> read_sail("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: no SAIL at /nowhere; expected a folder or .tar.gz with map-grid.xml
    """
    with unpacked(path) as folder:
        found = sorted(folder.rglob("map-grid.xml"))
        if not found:
            raise JaxnetsError(f"no SAIL at {path}; expected a folder or .tar.gz with map-grid.xml")
        folder = found[0].parent
        world = build_world({name: _read_map(folder / f"map-{name}.xml") for name in MAPS})
        told: list[Instruction] = []
        for name in MAPS:
            told += _read_walks(folder / f"{name}.settrc", name, world)
        return world, told


def _read_map(path: Path):
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise JaxnetsError(f"cannot read {path}: {error}") from None
    nodes = {(int(n.get("x")), int(n.get("y"))): n.get("item") or "" for n in root.iter("node")}
    corridors = {}
    for edge in root.iter("edge"):
        ends = tuple(tuple(map(int, edge.get(key).split(","))) for key in ("node1", "node2"))
        corridors[ends] = (edge.get("floor"), edge.get("wall"))
    return nodes, corridors


_POSE = re.compile(r"([A-Z]*)\((-?\d+), ?(-?\d+), ?(-?\d+)\)")


def _read_walks(path: Path, name: str, world: World) -> list[Instruction]:
    told, sentence = [], None
    for number, line in enumerate(read_lines(path), start=1):
        steps = _POSE.findall(line)
        if not line or line.startswith("Cleaned-") or line.startswith("y="):
            sentence = None
        elif not steps:
            sentence = line
        elif sentence is None:
            raise JaxnetsError(f"{path}, line {number}: a walk without a sentence before it")
        else:
            poses = [(name, int(x), int(y), int(turn) % 360) for _, x, y, turn in steps]
            kinds = [kind for kind, *_ in steps if kind]
            if wrong := [p for p in poses if p not in world.poses] or set(kinds) - set(ACTIONS):
                raise JaxnetsError(f"{path}, line {number}: {wrong} is not on the map {name}")
            actions = tuple(ACTIONS[kind] for kind in kinds)
            start, end = (world.poses[poses[i]] for i in (0, -1))
            told.append(Instruction(name, sentence, start, actions, end))
    return told


_COUNTS = ("one", "two", "three", "four")


def made_up_walks(
    count: int, *, side: int = 6, seed: int = 0, map_seed: int = 0
) -> tuple[World, list[Instruction]]:
    """A square of corridors, and instructions that can be carried out in it.

    Three kinds: "turn left and walk two steps", "walk to the end and turn right", "face the sofa
    and go to it": numbers, what is seen, and what has to be found.

    Args:
        count: of instructions.
        side: nodes of the square.
        seed: of the instructions.
        map_seed: of what stands where, and of floors and walls.

    Returns:
        (the world, the instructions).

    >>> world, told = made_up_walks(3)
    >>> all(world.walk(one.start, one.actions) == one.end for one in told)
    True
    """
    draw = np.random.default_rng(map_seed)
    nodes = {
        (x, y): str(draw.choice(ITEMS)) if draw.random() < 0.4 else ""
        for x in range(side)
        for y in range(side)
    }
    corridors = {}
    for x, y in nodes:
        for near in ((x + 1, y), (x, y + 1)):
            if near in nodes and draw.random() < 0.9:
                corridors[(x, y), near] = (str(draw.choice(FLOORS)), str(draw.choice(WALLS)))
    world = build_world({"square": (nodes, corridors)})
    names = {number: pose for pose, number in world.poses.items()}
    draw, told = np.random.default_rng(seed), []
    forward, left, right = (ACTIONS[name] for name in ("FORWARD", "LEFT", "RIGHT"))
    turns = {"left": (left,), "right": (right,), "around": (left, left)}
    while len(told) < count:
        start, kind = int(draw.integers(len(world.poses))), draw.integers(3)
        word = str(draw.choice(list(turns)))
        if kind == 0:
            steps = int(draw.integers(1, 5))
            actions = turns[word] + (forward,) * steps
            noun = "step" if steps == 1 else "steps"
            sentence = f"turn {word} and walk {_COUNTS[steps - 1]} {noun}"
        elif kind == 1:
            actions = (forward,) * _clear(world, start) + turns[word]
            sentence = f"walk to the end and turn {word}"
        else:
            ways = {}
            for first in ((), *turns.values()):
                pose = world.walk(start, first)
                for steps in range(1, _clear(world, pose) + 1):
                    item = nodes[names[world.walk(pose, (forward,) * steps)][1:3]]
                    ways.setdefault(item, []).append((*first, *(forward,) * steps))
            only = sorted(item for item, found in ways.items() if item and len(found) == 1)
            if not only:
                continue
            item = str(draw.choice(only))
            (actions,), sentence = ways[item], f"face the {item} and go to it"
        if _possible(world, start, actions):
            told.append(Instruction("square", sentence, start, actions, world.walk(start, actions)))
    return world, told


def _clear(world: World, pose: int) -> int:
    """Steps ahead until the corridor ends."""
    steps, forward = 0, ACTIONS["FORWARD"]
    while (ahead := int(world.moves[pose, forward])) != pose:
        pose, steps = ahead, steps + 1
    return steps


def _possible(world: World, pose: int, actions: tuple[int, ...]) -> bool:
    for action in actions:
        ahead = int(world.moves[pose, action])
        if ahead == pose:
            return False
        pose = ahead
    return True
