"""Two groups compared on one signal, and the results that the report gives of them."""

from dataclasses import dataclass, replace

import numpy as np

from mcu_core.report.evidence import Result, Role
from mcu_core.report.plan import Signal
from mcu_core.statistics.auc import AreaInterval, area, area_interval, delong_variance
from mcu_core.statistics.clusters import clustered_p_value, clustered_variance
from mcu_core.statistics.draws import one_each
from mcu_core.statistics.low_fpr import NotEstimable, tpr_at_fpr
from mcu_core.statistics.mann_whitney import LARGE_SAMPLE, Alternative, PValue, mann_whitney
from mcu_core.statistics.rates import rate
from mcu_core.statistics.scores import Floats, Integers
from mcu_core.statistics.tails import Side, tail

HYPOTHESES: dict[Alternative, str] = {"two-sided": "AUC = 0.5, two-sided", "greater": "AUC <= 0.5, one-sided"}
EXCHANGEABLE = "the samples are exchangeable with unseen ones, one-sided"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """D_f, or what stands in its place, against non-members."""

    role: Role
    signal: Signal | None
    forget: Floats
    """`[n]`, finite."""
    others: Floats
    """`[m]`, finite."""
    forget_subjects: Integers
    """`[n]`."""
    other_subjects: Integers
    """`[m]`."""
    seed: int
    """Of the draw of one sample a subject."""

    @property
    def subject_counts(self) -> tuple[int, int]:
        """Return the number of subjects in each group."""
        return _distinct(self.forget_subjects), _distinct(self.other_subjects)

    @property
    def clustered(self) -> bool:
        """Return whether a subject has several samples in a group."""
        return self.subject_counts != (len(self.forget), len(self.others))

    def one_each(self) -> "Comparison":
        """Return the comparison with one drawn sample a subject; itself where no subject has more."""
        if not self.clustered:
            return self
        forget = one_each(self.forget_subjects, seed=self.seed, purpose="one.forget")
        others = one_each(self.other_subjects, seed=self.seed, purpose="one.others")
        return replace(
            self,
            forget=self.forget[forget],
            others=self.others[others],
            forget_subjects=self.forget_subjects[forget],
            other_subjects=self.other_subjects[others],
        )


def _distinct(subjects: Integers) -> int:
    """Count by sorting: ten times as fast as NumPy's table of hashes, and asked for every result."""
    ordered = np.sort(subjects)
    return int(np.count_nonzero(np.diff(ordered))) + min(len(ordered), 1)


def auc_result(
    comparison: Comparison, *, confidence: float, name: str = "auc", alternative: Alternative = "two-sided"
) -> Result:
    """Return the AUC with its interval by DeLong on the logit scale and its p-value by Mann and Whitney.

    Where subjects have several samples, the interval rests on Obuchowski's variance and the p-value on Student's
    distribution with it, or below `LARGE_SAMPLE` subjects on the exact test of one drawn sample each.

    Args:
        comparison: both groups.
        confidence: level of the interval.
        name: of the result.
        alternative: `greater` asks only whether forget samples score higher.

    Returns:
        The result; without interval and standard error below `LARGE_SAMPLE` subjects in either group, without
        standard error where the groups separate or all scores tie.
    """
    value = area(comparison.forget, comparison.others)
    if comparison.clustered:
        where, test = _by_subject(comparison, value, confidence, alternative)
    else:
        where, test = _by_sample(comparison, value, confidence, alternative)
    subjects = comparison.subject_counts[0]
    return Result(
        name=name,
        role=comparison.role,
        signal=comparison.signal,
        value=value,
        low=where.low,
        high=where.high,
        level=None if where.low is None else confidence,
        standard_error=where.standard_error,
        p_value=test.p_value,
        hypothesis=HYPOTHESES[alternative],
        forget_count=len(comparison.forget),
        other_count=len(comparison.others),
        forget_subjects=subjects if subjects < len(comparison.forget) else None,
        method=f"{where.method}; p: {test.method}",
    )


def _by_sample(
    comparison: Comparison, value: float, confidence: float, alternative: Alternative
) -> tuple[AreaInterval, PValue]:
    n, m = len(comparison.forget), len(comparison.others)
    variance = delong_variance(comparison.forget, comparison.others) if min(n, m) >= LARGE_SAMPLE else 0.0
    where = area_interval(value, variance, n, m, confidence=confidence)
    return where, mann_whitney(comparison.forget, comparison.others, alternative=alternative)


def _by_subject(
    comparison: Comparison, value: float, confidence: float, alternative: Alternative
) -> tuple[AreaInterval, PValue]:
    n, m = comparison.subject_counts
    drawn = comparison.one_each()
    if min(n, m) >= LARGE_SAMPLE:
        spread = clustered_variance(
            comparison.forget, comparison.others, comparison.forget_subjects, comparison.other_subjects
        )
        where = area_interval(value, spread.variance, n, m, confidence=confidence)
        where = replace(where, method=f"{where.method} over {n} and {m} subjects")
        if spread.variance > 0.0:
            p_value = clustered_p_value(value, spread, alternative=alternative)
            return where, PValue(p_value=p_value, method="brunner-munzel, clustered")
    else:
        where = area_interval(value, 0.0, n, m, confidence=confidence)
    test = mann_whitney(drawn.forget, drawn.others, alternative=alternative)
    return where, replace(test, method=f"{test.method}, one drawn sample of each subject")


def tail_result(
    comparison: Comparison, *, side: Side, level: float, confidence: float, name: str | None = None
) -> Result:
    """Return the share of forget samples beyond the non-members' tail; see `tails.tail`.

    Args:
        comparison: both groups; reduced to one drawn sample a subject where subjects have several.
        side: which tail.
        level: nominal share of non-members beyond the threshold.
        confidence: level of the Clopper-Pearson interval, which takes the threshold as given.
        name: of the result; `tail.upper` or `tail.lower` by default.
    """
    drawn = comparison.one_each()
    test = tail(drawn.forget, drawn.others, side=side, level=level)
    share = rate(test.beyond, test.forget_count, confidence=confidence)
    note = ", one drawn sample of each subject" if comparison.clustered else ""
    return Result(
        name=name or f"tail.{side}",
        role=comparison.role,
        signal=comparison.signal,
        value=share.value,
        low=share.low,
        high=share.high,
        level=confidence,
        p_value=test.p_value,
        hypothesis=EXCHANGEABLE,
        forget_count=len(drawn.forget),
        other_count=len(drawn.others),
        method=f"clopper-pearson; p: exceedances, exact{note}",
    )


def tpr_result(comparison: Comparison, *, fpr: float, confidence: float) -> Result:
    """Return the true positive rate at a false positive rate, or why there is none; see `low_fpr.tpr_at_fpr`."""
    drawn = comparison.one_each()
    estimate = tpr_at_fpr(drawn.forget, drawn.others, fpr=fpr, confidence=confidence)
    if isinstance(estimate, NotEstimable):
        return missing_result(drawn, name=f"tpr.{fpr:g}", reason=estimate.reason)
    return Result(
        name=f"tpr.{fpr:g}",
        role=comparison.role,
        signal=comparison.signal,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=confidence,
        forget_count=len(drawn.forget),
        other_count=len(drawn.others),
        method=estimate.method,
    )


def missing_result(comparison: Comparison, *, name: str, reason: str) -> Result:
    """Return a result that says why there is no number."""
    return Result(
        name=name,
        role=comparison.role,
        signal=comparison.signal,
        value=None,
        forget_count=len(comparison.forget),
        other_count=len(comparison.others),
        method="none",
        not_estimable=reason,
    )


def primary_results(comparison: Comparison, *, level: float, confidence: float) -> tuple[Result, Result, Result]:
    """Return AUC, upper tail and lower tail, in this order: the tests that a verdict rests on."""
    return (
        auc_result(comparison, confidence=confidence),
        tail_result(comparison, side="upper", level=level, confidence=confidence),
        tail_result(comparison, side="lower", level=level, confidence=confidence),
    )
