"""SAIL's maps and sentences, and instructions that are made up."""

import numpy as np
import pytest

from jaxnets.data.sail import made_up_walks, read_sail
from jaxnets.data.worlds import FORWARD, LEFT, RIGHT, build_world
from jaxnets.errors import JaxnetsError

MAP = """<?xml version="1.0"?>
<map name="Grid" xplus="90" xminus="270" yminus="0" yplus="180">
<node x="0" y="5" item="" /><node x="0" y="6" item="chair" /><node x="1" y="6" id="1" item="" />
<edge node1="0,5" node2="0,6" wall="fish" floor="blue" />
<edge node1="0,6" node2="1,6" wall="tower" floor="grass" />
</map>
"""
WALKS = """Cleaned-KXP_Grid0_4_2_Dirs_1
y=4\tmap=grid\tx=2
turn around and go to the chair
LEFT(0,5,0);LEFT(0,5,270);FORWARD(0,5,180);(0, 6, 180)
you are there
(0, 6, 180)

"""


@pytest.fixture
def folder(tmp_path):
    for name in ("grid", "jelly", "l"):
        (tmp_path / f"map-{name}.xml").write_text(MAP)
        (tmp_path / f"{name}.settrc").write_text(WALKS)
    return tmp_path


def test_maps_and_sentences_are_read(folder):
    world, told = read_sail(folder)
    assert len(told) == 6 and {one.map for one in told} == {"grid", "jelly", "l"}
    first, second = told[:2]
    assert first.sentence == "turn around and go to the chair"
    assert first.actions == (LEFT, LEFT, FORWARD) and second.actions == ()
    assert world.walk(first.start, first.actions) == first.end == second.start == second.end
    # Behind the first pose there is a corridor (blue, fish) that ends after the chair.
    sight = world.sight[world.poses["grid", 0, 5, 0]].reshape(-1)[:76].reshape(4, 19)
    assert sight[0].sum() == 0 and sight[2, 0] == 1 and sight[2, 1] == 1 and sight[2, 10] == 1
    assert sight[2, 12:18].tolist() == [0, 1, 0, 0, 0, 0] and sight[2, 18] == 1 / 8
    # Turned around, the same is ahead.
    turned = world.sight[world.poses["grid", 0, 5, 180]][:76].reshape(4, 19)
    np.testing.assert_array_equal(turned[0], sight[2])


def test_walls_stop_and_stops_end_a_walk(folder):
    world, _ = read_sail(folder)
    pose = world.poses["l", 0, 5, 0]
    assert world.walk(pose, [FORWARD, FORWARD]) == pose
    assert world.walk(pose, [RIGHT, 2, LEFT]) == world.poses["l", 0, 5, 90]


def test_made_up_walks_can_be_carried_out_and_differ():
    world, told = made_up_walks(300, seed=1)
    assert all(world.walk(one.start, one.actions) == one.end for one in told)
    assert len({one.sentence for one in told}) > 15
    assert made_up_walks(300, seed=1)[1] == told != made_up_walks(300, seed=2)[1]


def broken(folder, name, text):
    (folder / name).write_text(text)
    return lambda: read_sail(folder)


SENTENCES = {
    "no map": (lambda f: broken(f, "map-l.xml", "<map"), "cannot read"),
    "corridor": (lambda f: broken(f, "map-l.xml", MAP.replace("1,6", "3,6")), "neighboring nodes"),
    "item": (lambda f: broken(f, "map-l.xml", MAP.replace("chair", "piano")), "unknown 'piano'"),
    "walk": (
        lambda f: broken(f, "l.settrc", WALKS.replace("LEFT(0,5,270)", "LEFT(9,5,270)")),
        "line 4: .* is not on the map l",
    ),
    "action": (lambda f: broken(f, "l.settrc", WALKS.replace("LEFT", "JUMP")), "line 4"),
    "sentence": (lambda f: broken(f, "l.settrc", "(0, 6, 180)\n"), "without a sentence"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_is_no_sail_is_said_in_a_sentence(name, folder):
    call, sentence = SENTENCES[name]
    with pytest.raises(JaxnetsError, match=sentence):
        call(folder)()


def test_an_empty_world_of_one_node_is_a_world():
    assert build_world({"m": ({(0, 0): ""}, {})}).moves.shape == (4, 7)
