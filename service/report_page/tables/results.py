"""Tables of results: primary tests, controls, canaries, probes and everything that is reported without being judged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import Group, Result
from mcu_core.report.judgement import Finding
from mcu_core.report.parts import UtilityLoss
from service.report_page import numbers, words
from service.report_page.content import Cell, Row, Table, Tone, number
from service.report_page.content import words as cell

RATES = ("tail", "tpr", "svc")
"""How the names of results begin that are shares of samples: shown in percent."""
SURE = 0.99
"""Power above which only this bound is shown: an approximation does not know the last percent."""


def primary(report: AuditReport) -> Table:
    """Return the tests that decide, each with what it could have seen and what was decided."""
    decided = {finding.check: finding for finding in report.judgement.findings}
    return Table(
        key="primary",
        caption="Primary tests of the candidate",
        columns=("test", "signal", "value", "interval", "n / m", "p", "power", "decision"),
        rows=tuple(
            (
                cell(words.result(result.name)),
                cell(MISSING if result.signal is None else words.SIGNALS[result.signal]),
                *measured(result),
                *([] if result.value is None else [_p(result)]),
                number(power(decided.get(f"primary.{result.name}"))),
                decision(decided.get(f"primary.{result.name}")),
            )
            for result in report.evidence.primary
        ),
        note=f"Together at level {numbers.significant(report.judgement.alpha)} (Holm). n: deleted samples, m: unseen "
        "samples that they are compared with. Power: chance of the AUC's test to see an effect as large as the old "
        "model's own, where there are samples enough to say.",
    )


def controls(report: AuditReport) -> Table:
    """Return what was measured to see whether the instrument works."""
    evidence = report.evidence
    decided = {finding.check: finding for finding in report.judgement.findings}
    groups: tuple[tuple[str, str, str, Sequence[Result]], ...] = (
        ("positive_control", "Positive: the old model", "a trace", evidence.positive_control),
        ("negative_control", "Negative: unseen in place of deleted", "nothing", evidence.negative_control),
        ("blind_baseline", "Blind: no model at all", "nothing", (evidence.blind_baseline,)),
        ("calibration", "Calibration of the p-values", "nothing", (evidence.calibration,)),
    )
    return Table(
        key="controls",
        caption="Controls: does the instrument work?",
        columns=("control", "result", "value", "interval", "n / m", "p", "should show", "outcome"),
        rows=tuple(
            (
                *([Cell(text=name, rows=len(found))] if first else []),
                cell(words.result(result.name)),
                *measured(result),
                *([] if result.value is None else [_p(result)]),
                *([Cell(text=expected, rows=len(found))] if first else []),
                *([replace(decision(decided.get(check)), rows=len(found))] if first else []),
            )
            for check, name, expected, found in groups
            for first, result in ((result is found[0], result) for result in found)
        ),
        note="Chance that the primary tests see a trace as large as that in the old model: "
        f"{numbers.percent(report.judgement.positive_control_power)}.",
    )


def canaries(report: AuditReport) -> Table | None:
    """Return what the canaries showed, or nothing where none were planted."""
    found = report.evidence.canaries
    if found is None:
        return None
    decided = {finding.check: finding for finding in report.judgement.findings}
    chance = power(decided.get("primary.canary"))
    return Table(
        key="canaries",
        caption="Canaries: samples planted by a secret coin and forgotten with this run",
        columns=RESULT_COLUMNS,
        rows=result_rows((found.original, found.candidate, found.one_run_original, found.one_run)),
        note="" if chance == MISSING else f"Chance to see canaries that are remembered as in the old model: {chance}.",
    )


def probes(report: AuditReport) -> Table:
    """Return the probes for further ways to fail."""
    evidence = report.evidence
    before = () if evidence.forgotten_before is None else (evidence.forgotten_before,)
    named = (
        ("Relearned: deleted samples after one epoch on kept ones", evidence.relearned),
        *(("Exposure of kept people", result) for result in evidence.retained_exposure),
        ("Old and new version compared", evidence.version_pair),
        *(("Samples forgotten earlier", result) for result in before),
    )
    return Table(
        key="probes",
        caption="Probes",
        columns=RESULT_COLUMNS,
        rows=tuple(row for name, result in named for row in result_rows((result,), name)),
        note="Comparing both versions tells what somebody sees who holds them both. It is reported and never judged: "
        "an exact retraining scores worst.",
    )


def secondary(report: AuditReport) -> Table:
    """Return everything that is reported and not judged."""
    return Table(
        key="secondary",
        caption="Secondary results: reported, not judged",
        columns=RESULT_COLUMNS,
        rows=result_rows(report.evidence.secondary),
    )


def utility(report: AuditReport) -> Table:
    """Return what the model lost."""
    return Table(
        key="utility",
        caption="Loss of accuracy from the old model to the candidate",
        columns=("samples", "loss", "upper bound", "level", "method"),
        rows=utility_rows(report.evidence.utility),
    )


def utility_rows(losses: Mapping[Group, UtilityLoss]) -> tuple[Row, ...]:
    """Return one row for each group of samples."""
    return tuple(
        (
            cell(words.GROUPS[group]),
            number(numbers.percent(loss.value, 2)),
            number(numbers.percent(loss.upper, 2)),
            number(numbers.percent(loss.level, 0)),
            cell(loss.method),
        )
        for group in Group
        if (loss := losses.get(group)) is not None
    )


MISSING = numbers.MISSING
RESULT_COLUMNS = ("result", "model", "signal", "value", "interval", "n / m", "p", "method")


def result_rows(results: Sequence[Result], name: str | None = None) -> tuple[Row, ...]:
    """Return one row for each result, under the columns of `RESULT_COLUMNS`."""
    return tuple(
        (
            cell(name or words.result(result.name)),
            cell(words.ROLES[result.role]),
            cell(MISSING if result.signal is None else words.SIGNALS[result.signal]),
            *measured(result),
            *([] if result.value is None else [_p(result)]),
            cell(result.method),
        )
        for result in results
    )


def measured(result: Result) -> tuple[Cell, ...]:
    """Return value, interval and counts; where it is not estimable, one cell over these and the p-value says why."""
    if result.value is None:
        why = result.not_estimable or "no reason given"
        return (Cell(text=f"not estimable: {why}", tone=Tone.OPEN, span=4),)
    return (
        number(value(result.name, result.value)),
        number(interval(result)),
        number(f"{numbers.count(result.forget_count)} / {numbers.count(result.other_count)}"),
    )


def value(name: str, given: float) -> str:
    """Return a result's number: shares of samples in percent, everything else as a decimal."""
    return numbers.percent(given, 2) if name.startswith(RATES) else numbers.decimal(given)


def interval(result: Result) -> str:
    """Return the interval of a result; an end that is missing is open."""
    if result.low is None and result.high is None:
        return MISSING
    ends = (MISSING if end is None else value(result.name, end) for end in (result.low, result.high))
    return " to ".join(ends)


def power(finding: Finding | None) -> str:
    """Return the chance that a test had to see the old model's own effect, never as if it were certain."""
    if finding is None or finding.power is None:
        return MISSING
    return f"> {numbers.percent(SURE, 0)}" if finding.power > SURE else numbers.percent(finding.power, 0)


def decision(finding: Finding | None) -> Cell:
    """Return how a check came out."""
    if finding is None:
        return Cell(text="not judged", tone=Tone.OPEN)
    return Cell(text="passed", tone=Tone.GOOD) if finding.passed else Cell(text="failed", tone=Tone.BAD)


def not_estimable(report: AuditReport) -> tuple[Result, ...]:
    """Return every result that could not be estimated."""
    evidence = report.evidence
    found = evidence.canaries
    single = (evidence.blind_baseline, evidence.calibration, evidence.relearned, evidence.version_pair)
    several = (evidence.primary, evidence.positive_control, evidence.negative_control, evidence.retained_exposure)
    of_canaries = () if found is None else (found.original, found.candidate, found.one_run, found.one_run_original)
    before = () if evidence.forgotten_before is None else (evidence.forgotten_before,)
    everything = chain(*several, single, of_canaries, before, evidence.secondary)
    return tuple(result for result in everything if result.value is None)


def _p(result: Result) -> Cell:
    return number(MISSING if result.p_value is None else numbers.probability(result.p_value))
