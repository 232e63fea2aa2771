"""Each claim in situations whose verdict and effects are known before it is measured."""

from dataclasses import replace

import pytest
from known_claims import (
    activations,
    augmentation,
    ensembles,
    initialization,
    optimizers,
    procedure,
    regularization,
    second_order,
    transfer,
)

from experiments.claims import find_claims
from jaxnets.study.effects import combine

CLAIMS = find_claims()
CHAPTERS = (
    activations,
    initialization,
    optimizers,
    second_order,
    regularization,
    ensembles,
    augmentation,
    procedure,
    transfer,
)
CASES = [case for chapter in CHAPTERS for case in chapter.CASES]


def _names():
    seen = {}
    for case in CASES:
        seen[case.claim] = seen.get(case.claim, 0) + 1
        yield f"{case.claim}-{case.verdict}-{seen[case.claim]}"


@pytest.mark.parametrize("case", CASES, ids=_names())
def test_verdict_and_effects(case, monkeypatch):
    claim = CLAIMS[case.claim]
    case.scene(monkeypatch)
    outcome = claim.measure(replace(claim.tiny, **case.changes))
    effects = outcome.effects
    assert len(effects) == len(case.effects), [e.name for e in effects]
    for e, expected in zip(effects, case.effects, strict=True):
        if expected is not None:
            assert e.estimate == pytest.approx(expected, rel=case.tolerance, abs=case.tolerance), e
        if case.paired and e.method != "share":
            close = {"rel": case.tolerance, "abs": case.tolerance}
            assert e.low == pytest.approx(e.high, **close), e
    if case.each is not None:
        assert [e.verdict for e in effects] == list(case.each)
    assert combine(effects)[0] == case.verdict, effects


def test_every_claim_has_a_case():
    """And one of another verdict, so that a measure with one answer for everything is caught."""
    verdicts = {name: {case.verdict for case in CASES if case.claim == name} for name in CLAIMS}
    assert not [name for name, found in verdicts.items() if len(found) < 2]
    assert not {case.claim for case in CASES} - set(CLAIMS)
