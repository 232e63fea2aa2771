"""One small convolution, measured: rows of every direction, right results, prepared kernels."""

import pytest

from jaxnets.study.convolution import measure, timing
from jaxnets.study.convolution.shapes import Case

SMALL = Case("small", (8, 8, 8, 64), (3, 3, 64, 64), {"padding": 1}, 2)


@pytest.fixture(scope="module")
def rows():
    return measure.measure_case(SMALL, algorithms="winograd", batch=1, rounds=2, torch=False)


def test_every_direction_has_its_row_beside_xla(rows):
    found = {(r["direction"], r["algorithm"]) for r in rows}
    assert {(d, a) for d in timing.DIRECTIONS for a in ("direct", "winograd")} <= found
    assert ("forward", "winograd prepared") in found
    assert sum(r["auto"] for r in rows) == 3
    assert all(r["count"] == 2 and r["ms"] > 0 for r in rows)


def test_results_agree_and_xla_is_its_own_measure(rows):
    # F(4×4, 3×3) in float32.
    assert all(r["error"] < 1e-4 for r in rows)
    assert all(r["ratio"] == 1 and r["error"] == 0 for r in rows if r["algorithm"] == "direct")
    for row in rows:
        macs = 8 * 8 * 64 * 64 * 9
        # Taps that lie on the padding count as well.
        assert row["gflops"] * row["ms"] == pytest.approx(2e-6 * macs)
