"""The audit's numbers against jax-privacy's, which have other authors and share no code with ours.

They run where jax-privacy is installed. The project does not ask for it: its dp-accounting wants an attrs older than
24, which conflicts with the project's, and jax is of no other use here.
"""

import math

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from mcu_core.report import Estimate
from mcu_core.report.evidence import RocCurve, Role
from mcu_core.statistics.auc import area
from mcu_core.statistics.figures import roc_of
from mcu_core.statistics.low_fpr import tpr_at_fpr
from mcu_core.statistics.one_run import Guesses
from mcu_core.statistics.rates import rate
from mcu_core.statistics.results import Comparison
from mcu_core.statistics.scores import Floats

auditing = pytest.importorskip(
    "jax_privacy.auditing", reason="needs jax-privacy, in an environment of its own: pip install jax-privacy"
)

KINDS = ("random", "tied", "separated", "reversed", "equal")
NO_DELTA = 1e-300
"""jax-privacy asks for a delta above 0; the audit's one-run test has none."""


def groups(kind: str, seed: int, n: int, m: int) -> tuple[Floats, Floats]:
    """Return scores of forget samples, or included canaries, and of the others."""
    rng = np.random.default_rng([seed, n, m])
    forget, others = rng.normal(0.7, 1.0, n), rng.normal(0.0, 1.0, m)
    match kind:
        case "tied":
            return forget.round(0), others.round(0)
        case "separated":
            return forget + 20.0, others
        case "reversed":
            return forget - 20.0, others
        case "equal":
            return np.zeros(n), np.zeros(m)
        case _:
            return forget, others


def curve(forget: Floats, others: Floats) -> RocCurve:
    """Return the report's ROC curve; all of it, since a curve of so few scores is not thinned."""
    n, m = len(forget), len(others)
    groups = Comparison(
        role=Role.CANDIDATE,
        signal=None,
        forget=forget,
        others=others,
        forget_subjects=np.arange(n),
        other_subjects=n + np.arange(m),
        seed=0,
    )
    return roc_of(groups, confidence=0.95)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_their_area_is_that_under_the_concave_hull_of_our_curve(kind: str, seed: int) -> None:
    """Theirs lets the attacker draw lots between two thresholds and picks the best lots on the same scores."""
    forget, others = groups(kind, seed, 60, 90)
    ours = curve(forget, others)
    corners = [*zip(ours.false_positive_rate, ours.true_positive_rate, strict=True), (1.0, 0.0)]
    hull = ConvexHull(np.array([(0.0, 0.0), *corners]))

    assert auditing.CanaryScoreAuditor(forget, others).attack_auroc() == pytest.approx(hull.volume, abs=1e-12)
    assert np.trapezoid(ours.true_positive_rate, ours.false_positive_rate) == pytest.approx(area(forget, others))
    assert area(forget, others) <= hull.volume + 1e-12


def test_under_the_null_our_area_is_one_half_on_average_and_theirs_is_more() -> None:
    rng = np.random.default_rng(0)
    draws = [(rng.normal(size=30), rng.normal(size=90)) for _ in range(300)]
    ours = np.array([area(*draw) for draw in draws])
    theirs = np.array([auditing.CanaryScoreAuditor(*draw).attack_auroc() for draw in draws])
    error = ours.std() / math.sqrt(len(draws))

    assert ours.mean() == pytest.approx(0.5, abs=4.0 * error)
    # That is why the audit does not take the hull: it would see a trace where there is none, of .58 on average here.
    assert theirs.mean() > 0.55
    assert theirs.min() >= 0.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_our_true_positive_rate_needs_no_lots_and_is_never_above_theirs(kind: str, seed: int) -> None:
    forget, others = groups(kind, seed, 150, 2_000)
    ours = tpr_at_fpr(forget, others, fpr=0.01, confidence=0.95)

    assert isinstance(ours, Estimate)
    assert ours.value <= auditing.CanaryScoreAuditor(forget, others).tpr_at_given_fpr(0.01) + 1e-12


def test_where_no_lots_are_needed_the_true_positive_rates_are_equal() -> None:
    # 20 of 2 000 score highest: exactly 1 %, at a corner of the hull.
    forget, others = np.repeat([2.0, 1.0, 0.0], [60, 30, 10]), np.repeat([2.0, 1.0, 0.0], [20, 500, 1_480])
    ours = tpr_at_fpr(forget, others, fpr=0.01, confidence=0.95)

    assert isinstance(ours, Estimate)
    assert ours.value == 0.6
    assert auditing.CanaryScoreAuditor(forget, others).tpr_at_given_fpr(0.01) == pytest.approx(0.6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_the_one_run_p_value_equals_the_level_at_their_bound_on_epsilon(kind: str, seed: int, level: float) -> None:
    included, excluded = groups(kind, seed, 40, 50)
    threshold = float(np.quantile(included, 0.5))
    correct, wrong = int((included >= threshold).sum()), int((excluded >= threshold).sum())
    guesses = Guesses(guessed=correct + wrong, correct=correct)
    epsilon = auditing.CanaryScoreAuditor(included, excluded).epsilon_one_run(
        level, NO_DELTA, threshold_strategy=auditing.Explicit(threshold)
    )

    if epsilon == 0.0:  # nothing was shown
        assert guesses.p_value(0.0) >= level
    else:
        assert guesses.p_value(epsilon) == pytest.approx(level, rel=1e-4)  # they search to 1e-6
        assert guesses.p_value(0.0) < level


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_our_rates_give_their_bound_on_epsilon(kind: str, seed: int) -> None:
    """ε ≥ log(lower end of TPR / upper end of FPR), both of Clopper and Pearson's intervals."""
    included, excluded = groups(kind, seed, 40, 50)
    threshold = float(np.quantile(included, 0.5))
    auditor = auditing.CanaryScoreAuditor(included, excluded)
    theirs = auditor.epsilon_clopper_pearson(0.05, threshold_strategy=auditing.Explicit(threshold))
    hits = rate(int((included >= threshold).sum()), len(included), confidence=0.95)
    alarms = rate(int((excluded >= threshold).sum()), len(excluded), confidence=0.95)

    assert max(0.0, math.log(hits.low / alarms.high)) == pytest.approx(theirs, abs=1e-9)
