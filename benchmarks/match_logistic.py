"""Logistic regression of which no weight may go against its sense; small enough to need no library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
STEPS_MAX = 20_000
CHANGE_MIN = 1e-9
RIDGE = 1e-3
"""Of the mean loss, on standardised traits: enough to keep weights finite where the classes can be parted."""


@dataclass(frozen=True, eq=False)
class Logistic:
    """P = 1 / (1 + exp(-(bias + weights . traits)))."""

    weights: Floats
    bias: float

    def logits(self, traits: Floats) -> Floats:
        """(n,) of (n, traits)."""
        return np.asarray(traits @ self.weights + self.bias, np.float64)


def fit(traits: Floats, labels: npt.NDArray[np.bool_], importance: Floats, senses: Sequence[int]) -> Logistic:
    """The weights of least ridged log loss among those that agree with `senses` (+1 or -1 each), by accelerated
    projected gradient (Beck, Teboulle, "A fast iterative shrinkage-thresholding algorithm", SIAM 2009).

    traits: (n, d). importance: (n,), how much each row counts.
    """
    middle, spread = traits.mean(axis=0), np.maximum(traits.std(axis=0), 1e-9)
    rows = np.column_stack([(traits - middle) / spread, np.ones(len(traits))])
    share = importance / importance.sum()
    ridge = np.append(np.full(traits.shape[1], RIDGE), 0.0)
    signs = np.append(np.asarray(senses, np.float64), 0.0)
    rate = 1 / (0.25 * np.linalg.eigvalsh((rows * share[:, None]).T @ rows)[-1] + RIDGE)
    at = ahead = np.zeros(rows.shape[1])
    momentum = 1.0
    for _ in range(STEPS_MAX):
        expected = 1 / (1 + np.exp(-np.clip(rows @ ahead, -50, 50)))
        gradient = rows.T @ (share * (expected - labels)) + ridge * ahead
        moved = ahead - rate * gradient
        moved = np.where(moved * signs < 0, 0.0, moved)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - at)
        has_settled = np.abs(moved - at).max() < CHANGE_MIN
        at, momentum = moved, following
        if has_settled:
            break
    weights = at[:-1] / spread
    return Logistic(weights, float(at[-1] - weights @ middle))
