"""Tickets begin with the first weights, and curves are measured one layer at a time."""

import numpy as np
import pytest

from jaxnets.compress import (
    Ticket,
    density,
    lottery_tickets,
    magnitude_mask,
    sensitivity,
    sensitivity_figure,
)
from jaxnets.errors import JaxnetsError


def network(seed):
    random = np.random.default_rng(seed)
    shapes = {"a": (8, 10), "b": (5, 4)}
    return {k: {"kernel": random.standard_normal(shapes[k]).astype(np.float32)} for k in shapes}


def test_each_round_drops_the_same_share_of_what_is_left():
    first, seen = network(0), []

    def train(params, mask):
        seen.append(density(params)["all"])
        return {k: {"kernel": network(1)[k]["kernel"] * mask[k]["kernel"]} for k in params}

    tickets = list(lottery_tickets(first, train, sparsity=0.51, rounds=2))
    assert isinstance(tickets[0], Ticket)
    np.testing.assert_allclose([t.sparsity for t in tickets], [0.3, 0.51])
    assert seen == [1.0, 0.7]
    for ticket in tickets:
        assert density(ticket.mask)["all"] == round(100 * (1 - ticket.sparsity)) / 100
        for layer in first:
            kept = np.asarray(ticket.mask[layer]["kernel"])
            expected = np.where(kept, first[layer]["kernel"], 0)
            np.testing.assert_array_equal(ticket.params[layer]["kernel"], expected)
    for layer in first:  # what is gone does not come back
        kept = [np.asarray(ticket.mask[layer]["kernel"]) for ticket in tickets]
        assert not (kept[1] & ~kept[0]).any()
    trained = np.concatenate([np.abs(tickets[0].trained[k]["kernel"]).ravel() for k in first])
    kept = np.concatenate([np.asarray(tickets[0].mask[k]["kernel"]).ravel() for k in first])
    assert trained[~kept].max() < trained[kept].min()


def test_wrong_arguments_are_refused():
    with pytest.raises(JaxnetsError, match=r"in \[0, 1\)"):
        next(lottery_tickets(network(0), None, sparsity=1.0, rounds=1))
    with pytest.raises(JaxnetsError, match="at least 1 round"):
        next(lottery_tickets(network(0), None, sparsity=0.5, rounds=0))


def test_curves_prune_one_layer_and_leave_the_others(tmp_path):
    params, shares = network(0), (0.0, 0.5, 0.9)

    def measure(pruned):
        return sum(float(np.abs(pruned[k]["kernel"]).sum()) for k in params)

    curves = sensitivity(params, measure, shares)
    whole = measure(params)
    for layer in params:
        size = np.abs(params[layer]["kernel"])
        for share, value in zip(shares, curves[f"{layer}/kernel"], strict=True):
            dropped = ~np.asarray(magnitude_mask(params, {layer: share})[layer]["kernel"])
            assert value == pytest.approx(whole - size[dropped].sum(), rel=1e-5)
    assert sensitivity_figure(curves, shares, tmp_path / "x.png").stat().st_size > 5000
