"""The one-run test: could a model that never used the coins answer the canaries as this one does?"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mcu_core.statistics.scores import Floats

GUESSED_SHARE = 0.5
"""Of the canaries that are guessed, half of them `included` and half `excluded`; the middle ones are abstained from.
Fixed beforehand: a share chosen on the data would make the p-value too small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """How well canaries were guessed."""

    guessed: int
    correct: int

    def p_value(self, epsilon: float = 0.0) -> float:
        """Return P(at least so many correct) for a model that is (ε, 0)-differentially private in the coins.

        P = P(Binomial(r, e^ε / (1 + e^ε)) ≥ v) for v correct of r guesses.

        Args:
            epsilon: 0 asks whether the model used the coins at all.

        Returns:
            p in (0, 1]; 1 without a guess.

        Source: Steinke, Nasr & Jagielski (2023), arXiv 2305.08846, theorem 5.2 at δ = 0.
        """
        success = 1.0 / (1.0 + math.exp(-epsilon))
        return float(min(1.0, stats.binom.sf(self.correct - 1, self.guessed, success))) if self.guessed else 1.0


def guess(scores: Floats, included: NDArray[np.bool_], *, share: float = GUESSED_SHARE) -> Guesses:
    """Guess that the highest scores were included and the lowest excluded.

    With k = floor(share · m / 2), a canary is guessed `included` if it scores above all but k at most, `excluded` if
    below all but k at most. Scores that tie across either border are abstained from, so that no guess depends on
    anything but scores.

    Args:
        scores: float64 `[m]`, of all canaries.
        included: bool `[m]`, the secret fair coins.
        share: of the canaries to guess, in (0, 1].

    Returns:
        How many were guessed, and how many rightly.

    Source: Steinke, Nasr & Jagielski (2023), arXiv 2305.08846, algorithm 1.
    """
    each = math.floor(share * len(scores) / 2.0)
    if each == 0:
        return Guesses(guessed=0, correct=0)
    ordered = np.sort(scores)
    above, below = _beyond(ordered, each), _beyond(-ordered[::-1], each)
    called_in, called_out = scores > above, -scores > below
    guessed = int(called_in.sum() + called_out.sum())
    return Guesses(guessed=guessed, correct=int((called_in & included).sum() + (called_out & ~included).sum()))


def _beyond(ordered: Floats, count: int) -> float:
    """Return the number that at most `count` scores exceed; ascending scores."""
    return float(ordered[len(ordered) - count - 1]) if count < len(ordered) else -math.inf
