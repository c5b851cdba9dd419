"""The provenance names everything that the report rests on."""

from mcu_core.report.judgement import Verdict
from service.report_page.tables import provenance
from tests.judged_reports import REPORTS, SINGLE
from tests.report_parts import column_of

REPORT = REPORTS[Verdict.ACCEPT_POWERED]


def test_the_provenance_names_every_subject_and_scored_model() -> None:
    shown = set(column_of(provenance.digests(REPORT), "value"))

    assert {str(value) for _, value in REPORT.subjects} <= shown
    assert set(REPORT.evidence.facts.digests.values()) <= shown
    assert REPORTS[Verdict.ACCEPT_CANARY_BACKED].plan.canaries is not None
    assert "c" * 64 in column_of(provenance.digests(SINGLE), "value")


def test_every_version_time_and_count_is_shown() -> None:
    facts = REPORT.evidence.facts
    computing, data = provenance.computing(REPORT), provenance.data(REPORT)

    assert set(facts.environment.versions.items()) <= set(
        zip(column_of(computing, "what"), column_of(computing, "value"), strict=True)
    )
    assert {f"phase: {phase.replace('_', ' ')}" for phase in facts.phase_seconds} <= set(column_of(computing, "what"))
    assert len(data.rows) >= len(facts.counts.model_dump())


def test_settings_are_those_of_this_attempts_rung() -> None:
    table = provenance.settings(REPORT)
    shown = dict(zip(column_of(table, "what"), column_of(table, "value"), strict=True))

    assert shown["rung.kind"] == REPORT.config.ladder[REPORT.rung].kind
    assert shown["audit.confidence"] == str(REPORT.config.audit.confidence)
    assert not [name for name in shown if name.startswith("ladder")]
