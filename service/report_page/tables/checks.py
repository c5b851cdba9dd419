"""Tables of what was decided: every check, its outcome, and the attempts before this one."""

from collections.abc import Sequence
from dataclasses import dataclass

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import Role
from mcu_core.report.judgement import Finding, Stage
from mcu_core.report.parts import Estimate
from service.report_page import numbers, words
from service.report_page.content import Table, Tone, code, number
from service.report_page.content import words as cell
from service.report_page.tables.results import decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How the checks of one stage came out together."""

    question: str
    answer: str
    tone: Tone
    sign: str


SIGNS = {Tone.GOOD: "\N{CHECK MARK}", Tone.BAD: "\N{MULTIPLICATION SIGN}", Tone.OPEN: numbers.MISSING}


def steps(report: AuditReport) -> tuple[Step, ...]:
    """Return one line for each stage, in the order in which they decide."""
    found = {stage: [one for one in report.judgement.findings if one.stage is stage] for stage in Stage}
    *before, last = Stage
    return (*(_step(stage, found[stage]) for stage in before), _acceptance(last, found[last], bool(found[before[-1]])))


def _step(stage: Stage, findings: Sequence[Finding]) -> Step:
    failed = [finding for finding in findings if not finding.passed]
    if not findings:
        tone, answer = Tone.OPEN, "not reached"
    elif failed:
        tone, answer = Tone.BAD, f"{len(failed)} of {numbers.counted(len(findings), 'check')} failed"
    else:
        tone, answer = Tone.GOOD, f"{numbers.counted(len(findings), 'check')} passed"
    return Step(question=words.STAGES[stage], answer=answer, tone=tone, sign=SIGNS[tone])


def _acceptance(stage: Stage, findings: Sequence[Finding], reached: bool) -> Step:
    carried = any(finding.passed for finding in findings)
    tone = Tone.GOOD if carried else Tone.OPEN
    answer = "yes" if carried else "no" if reached else "not reached"
    return Step(question=words.STAGES[stage], answer=answer, tone=tone, sign=SIGNS[tone])


def checks(report: AuditReport) -> Table:
    """Return every check that was made, in order."""
    return Table(
        key="checks",
        caption="Every check, in the order in which they decide",
        columns=("check", "outcome", "what it found", "statistic", "threshold", "p"),
        rows=tuple(
            (
                code(finding.check),
                decision(finding),
                cell(finding.text),
                *(
                    number(numbers.MISSING if given is None else numbers.significant(given, 4))
                    for given in (finding.statistic, finding.threshold)
                ),
                number(numbers.MISSING if finding.p_value is None else numbers.probability(finding.p_value)),
            )
            for finding in report.judgement.findings
        ),
    )


def models(report: AuditReport) -> Table:
    """Return the metrics of the literature of each model."""

    def rate(estimate: Estimate | None) -> str:
        if estimate is None:
            return numbers.MISSING
        low, high = numbers.decimal(100.0 * estimate.low, 1), numbers.decimal(100.0 * estimate.high, 1)
        return f"{numbers.percent(estimate.value)} ({low} to {high})"

    rows = []
    by_class = any(row.class_test_accuracy is not None for row in report.evidence.models)
    for row in report.evidence.models:
        rates: list[Estimate | None] = [row.unlearning_accuracy, row.retain_accuracy, row.test_accuracy]
        rates += [row.class_test_accuracy] if by_class else []
        rows.append(
            (
                cell(words.model(row.name, None if row.role is Role.ORIGINAL else row.t)),
                *(number(rate(estimate)) for estimate in rates),
                number(numbers.percent(row.membership.nonmember_share)),
                number(numbers.percent(row.membership.gap)),
                number(numbers.percent((row.forget_gap + row.retain_gap) / 2)),
                number(numbers.duration(row.seconds)),
            )
        )
    return Table(
        key="models",
        caption="Metrics of the literature",
        columns=(
            "model", "UA", "RA", "TA", *(["UA on test images"] if by_class else []), "MIA", "MIA gap",
            "alignment gap", "time",
        ),
        rows=tuple(rows),
        note="UA: share of deleted samples answered wrongly. RA, TA: share of kept and of test samples answered "
        "correctly. MIA: share of deleted samples that SalUn's attack calls unseen, which means nothing alone; its gap "
        "to the rate on truly unseen samples does. In brackets: "
        f"{numbers.percent(report.plan.confidence, 0)} intervals.",
    )  # fmt: skip


def attempts(report: AuditReport) -> Table | None:
    """Return the attempts before this one, or nothing where it is the first."""
    if not report.previous_attempts:
        return None
    return Table(
        key="attempts",
        caption="Every attempt of this run before this one",
        columns=("attempt", "made by", "verdict", "claim", "plan", "report"),
        rows=tuple(
            (
                number(str(attempt.attempt)),
                cell(words.RUNGS.get(attempt.rung_kind, attempt.rung_kind)),
                cell(attempt.verdict.value),
                cell(attempt.claim.value),
                code(attempt.plan_digest),
                code(attempt.report_digest),
            )
            for attempt in report.previous_attempts
        ),
        note="Each further attempt is judged at a stricter level, so that trying again does not make an undeserved "
        "pass more likely.",
    )
