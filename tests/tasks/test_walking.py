"""Listen, attend and walk: a network learns instructions that ask for turns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import train
from jaxnets.data.sail import made_up_walks
from jaxnets.data.text import START, train_tokenizer
from jaxnets.data.worlds import FORWARD, LEFT
from jaxnets.models.sequence import Walker
from jaxnets.tasks.walking import WALKS, encode_walks, follow, hold_out_walks, train_walker


def setting(count=250):
    world, told = made_up_walks(count, side=4)
    told = [one for one in told if one.sentence.startswith("turn")]
    sentences = [one.sentence for one in told]
    words = train_tokenizer(sentences, 60, kind="word", min_frequency=1)
    return world, told, words


def test_walking_freely_is_walking_as_taught():
    """The pose in the carry follows the actions that were taken, whoever took them."""
    world, told, words = setting(40)
    model, source = Walker(words.size, 4, world), encode_walks(told, words, buckets=1)
    batch = source.take(np.arange(3))
    read = {name: jnp.asarray(batch[key]) for key, name in WALKS.items()}
    target = jnp.tile(jnp.array([[START, LEFT, FORWARD]]), (3, 1))
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), **read, target=target)
    whole = jax.jit(model.apply)(variables, **read, target=target)
    carry = jax.jit(lambda: model.apply(variables, **read, method="encode"))()
    step = jax.jit(lambda carry, token: model.apply(variables, carry, token, method="step"))
    for t in range(3):
        carry, logits = step(carry, target[:, t])
        sayable = [2, 4, 5, 6]
        np.testing.assert_allclose(logits[:, sayable], whole[:, t, sayable], atol=1e-5)
        assert jnp.isneginf(logits[:, [0, 1, 3]]).all()
    poses = [world.walk(int(pose), [LEFT, FORWARD]) for pose in batch["pose"]]
    assert carry[0][2].tolist() == poses
    # Another pose is another sight, and other words are other actions.
    moved = {**read, "pose": (read["pose"] + 5) % len(world.sight)}
    assert not np.allclose(jax.jit(model.apply)(variables, **moved, target=target), whole)


def test_walks_that_are_held_out_are_asked_for_nowhere_else():
    _, told = made_up_walks(6000)
    training, test = hold_out_walks(told)
    asked = lambda one: (one.start, one.sentence)  # noqa: E731
    assert len(test) == 300 == len({*map(asked, test)})
    assert not {*map(asked, training)} & {*map(asked, test)}
    # Nothing else is left out, and what is learned from is in its order.
    lost = {*map(asked, told)} - {*map(asked, training)}
    assert lost == {*map(asked, test)}
    assert training == [one for one in told if asked(one) not in lost]
    # A kind of sentence has its share of the test.
    turns = np.mean([one.sentence.startswith("turn") for one in test])
    assert 0.3 < turns < 0.8
    few = hold_out_walks(told[:8])
    assert len(few[1]) == 2 and len(few[0]) >= 6


@pytest.mark.slow
def test_a_walker_learns_and_is_opened_again(tmp_path):
    world, told, words = setting()
    model = Walker(words.size, 24, world)
    options = train.RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=100)
    # The test is what was learned: the question is whether the whole learns at all.
    fitted = train_walker(
        model, told, told, words, options=options, epochs=100, batch_size=32, buckets=1,
        longest=8, learning_rate=0.01,
    )  # fmt: skip
    assert fitted.summary["test_arrived"] > 0.85, fitted.summary
    found = train.reopen(tmp_path)
    right = 0
    for one in told[:4]:
        actions, end, weights = follow(model, found.variables, words, one.sentence, one.start, 8)
        assert actions[-1] == "STOP" and weights.shape[0] == len(actions)
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)
        right += end == one.end
    assert right >= 3
