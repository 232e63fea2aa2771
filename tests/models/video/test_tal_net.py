"""TAL-Net: what its towers see, its losses by hand, and that no action is an ordinary case."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models.video import Localized, SegmentTower, TALNet, tal_detections, tal_losses


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("scale", [6, 12])
def test_a_tower_sees_as_much_as_its_anchor(scale, context):
    tower = SegmentTower(scale, 4, context=context, pool=False)
    x = jnp.ones((1, 61, 2))
    variables = tower.init(jax.random.key(0), x)
    # With positive kernels no gradient can vanish by chance.
    variables = jax.tree.map(lambda w: jnp.abs(w) + 0.1, variables)
    slope = jax.grad(lambda x: tower.apply(variables, x)[0, 30].sum())(x)
    seen = np.flatnonzero(np.asarray(jnp.abs(slope[0]).sum(-1)))
    half = scale // 2 * (2 if context else 1)
    # Kernels of three leave steps out between them; the ends are those of the anchor.
    assert (seen.min(), seen.max()) == (30 - half, 30 + half)


def test_the_maximum_before_leaves_no_step_of_the_anchor_out():
    tower = SegmentTower(12, 3, context=False)
    x = jnp.zeros((1, 61, 1))
    variables = jax.tree.map(lambda w: jnp.abs(w) + 0.1, tower.init(jax.random.key(0), x))
    hit = lambda t: tower.apply(variables, x.at[0, t].set(1.0))[0, 30].sum()  # noqa: E731
    still = tower.apply(variables, x)[0, 30].sum()
    changed = np.flatnonzero(np.asarray(jax.vmap(hit)(jnp.arange(61)) != still))
    assert changed.tolist() == list(range(changed[0], changed[-1] + 1))
    assert changed[0] <= 24 and changed[-1] >= 36


@pytest.fixture(scope="module")
def small():
    network = TALNet(2, streams=(3, 2), scales=(6, 12), features=4, hidden=6, proposals=5)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 24, 5)), jnp.float32)
    return network, network.init(jax.random.key(0), x), x


def test_streams_are_averaged_and_batches_do_not_mix(small):
    network, variables, x = small
    both = network.apply(variables, x)
    one = network.apply(variables, x[:1])
    for name in ("objectness", "proposals", "logits", "refinements"):
        np.testing.assert_allclose(getattr(both, name)[:1], getattr(one, name), atol=1e-5)
    # Stream by stream, by networks of one stream with the same parameters.
    parts = []
    for i, (low, high) in enumerate(((0, 3), (3, 5))):
        own = {
            k.replace(f"stream{i}", "stream0"): v
            for k, v in variables["params"].items()
            if k.startswith(f"stream{i}")
        }
        single = network.clone(streams=(high - low,))
        parts.append(single.apply({"params": own}, x[..., low:high]).objectness)
    np.testing.assert_allclose(both.objectness, (parts[0] + parts[1]) / 2, atol=1e-5)


def test_sequences_without_actions_have_finite_losses_and_gradients(small):
    network, variables, x = small
    batch = {"segments": jnp.zeros((2, 3, 2)), "segment_mask": jnp.zeros((2, 3))}
    batch["segment_label"] = jnp.zeros((2, 3), int)

    def loss(variables):
        outputs = network.apply(variables, x, **{k: batch[k] for k in ("segments", "segment_mask")})
        found = tal_losses(outputs, batch)
        assert found["ends"][0] is not None
        return sum(total for total, _ in found.values())

    value, slope = jax.value_and_grad(loss)(variables)
    assert value > 0
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def outputs_of(proposals, logits, refinements, mask=None):
    proposals = jnp.asarray(proposals, jnp.float32)[None]
    mask = jnp.ones(proposals.shape[:2], bool) if mask is None else jnp.asarray(mask)[None]
    count = proposals.shape[1]
    return Localized(
        proposals[0],
        jnp.zeros((1, count)),
        jnp.zeros((1, count, 2)),
        proposals,
        mask,
        jnp.asarray(logits, jnp.float32)[None],
        jnp.asarray(refinements, jnp.float32)[None],
    )


def test_losses_by_hand():
    # IoU 1 and 0 with the action; the logits are equal for all of three classes.
    outputs = outputs_of([[0, 10], [20, 30]], np.zeros((2, 3)), np.full((2, 2, 2), 0.5))
    batch = {
        "segments": np.float32([[[0, 10]]]),
        "segment_label": np.array([[1]]),
        "segment_mask": np.ones((1, 1)),
    }
    found = {name: float(total) for name, (total, _) in tal_losses(outputs, batch).items()}
    assert found["proposal"] == pytest.approx(np.log(2), rel=1e-6)
    assert found["proposal_ends"] == 0
    assert found["classification"] == pytest.approx(np.log(3), rel=1e-6)
    assert found["ends"] == pytest.approx(2 * 0.125, rel=1e-5)


def test_detections_are_suppressed_within_their_class_and_padding_is_none():
    logits = [[0, 5, 0], [0, 4, 0], [0, 0, 5], [0, 9, 9]]
    proposals = [[0, 10], [1, 10], [0, 10], [0, 20]]
    outputs = outputs_of(proposals, logits, np.zeros((4, 2, 2)), [True, True, True, False])
    found = tal_detections(outputs, 30, min_score=0.5)
    kept = np.asarray(found.mask[0])
    assert sorted(np.asarray(found.labels[0])[kept].tolist()) == [0, 1]
    np.testing.assert_allclose(np.asarray(found.boxes[0])[kept][:, ::2], [[0, 10]] * 2, atol=1e-5)


def test_wrong_channels_are_told(small):
    network, variables, x = small
    with pytest.raises(ValueError, match=r"expected features \(N, T, 5\)"):
        network.apply(variables, x[..., :4])
