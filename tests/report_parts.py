"""Reports of which a test chooses the parts that a figure shows."""

from collections.abc import Callable

from mcu_core.report.document import AuditReport
from mcu_core.report.judgement import Verdict
from service.report_page.content import Figure, Table
from tests.judged_reports import REPORTS

REPORT = REPORTS[Verdict.ACCEPT_POWERED]


def made(figure: Callable[[AuditReport], Figure | None], report: AuditReport = REPORT) -> Figure:
    """Return the figure of a report that has its data."""
    found = figure(report)
    assert found is not None
    return found


def with_evidence(**parts: object) -> AuditReport:
    """Return the report with other evidence."""
    return REPORT.model_copy(update={"evidence": REPORT.evidence.model_copy(update=parts)})


def with_facts(**parts: object) -> AuditReport:
    """Return the report with other facts."""
    return with_evidence(facts=REPORT.evidence.facts.model_copy(update=parts))


def with_figures(**parts: object) -> AuditReport:
    """Return the report with other data of its figures."""
    return with_evidence(figures=REPORT.evidence.figures.model_copy(update=parts))


def column_of(table: Table, name: str) -> list[str]:
    """Return the words of one column of a table without spans."""
    position = table.columns.index(name)
    return [row[position].text for row in table.rows]
