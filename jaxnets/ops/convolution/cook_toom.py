"""The matrices of minimal filtering F(m, r), from polynomial products, in exact fractions."""

import functools
import math
from fractions import Fraction

import numpy as np

POINTS = tuple(Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2"))


@functools.cache
def matrices(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bᵀ (α, α), G (α, r) and Aᵀ (m, α) of F(m, r), α = m + r − 1, exact rationals as float64.

    Cook–Toom: evaluate at α − 1 points and at infinity; the correlation is the transpose of the
    polynomial product. Bᵀ's rows are the numerators of the Lagrange polynomials, G takes their
    denominators. F(2, 3) and F(4, 3) are the matrices that Lavin & Gray print, up to signs.

    Args:
        m: outputs of one piece.
        r: taps.

    Returns:
        (Bᵀ, G, Aᵀ).

    Raises:
        ValueError: more points are needed than `POINTS` has.

    Source: Winograd 1980 (Arithmetic Complexity of Computations); Lavin & Gray 2015, §3.

    >>> matrices(2, 3)[0].astype(int).tolist()
    [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    """
    alpha = m + r - 1
    if not 2 <= alpha <= len(POINTS) + 1:
        raise ValueError(f"F({m}, {r}) needs {alpha - 1} points, {len(POINTS)} are known")
    points = POINTS[: alpha - 1]

    def polynomial(roots) -> list[Fraction]:
        coefficients = [Fraction(1)]
        for root in roots:
            shifted = [Fraction(0), *coefficients]
            for i, c in enumerate(coefficients):
                shifted[i] -= root * c
            coefficients = shifted
        return coefficients

    b, g, a = [], [], []
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        b.append([*polynomial(others), Fraction(0)])
        denominator = math.prod((point - other for other in others), start=Fraction(1))
        g.append([point**j / denominator for j in range(r)])
        a.append([point**j for j in range(m)])
    b.append(polynomial(points))
    g.append([Fraction(int(j == r - 1)) for j in range(r)])
    a.append([Fraction(int(j == m - 1)) for j in range(m)])
    as_array = lambda rows: np.array([[float(v) for v in row] for row in rows])  # noqa: E731
    return as_array(b), as_array(g), as_array(a).T
