"""The page for people: the report's words and numbers and no others, nothing from elsewhere, nothing that runs."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import Figures
from mcu_core.report.judgement import Verdict
from service.report_page import render
from service.report_page.page import FIGURES, figures, tables
from tests.html_page import Page
from tests.judged_reports import REPORTS, SINGLE, TOO_FEW

ACCEPTED, REJECTED = REPORTS[Verdict.ACCEPT_POWERED], REPORTS[Verdict.REJECT]
ALL = [*REPORTS.values(), SINGLE]


def shown(report: AuditReport) -> str:
    return " ".join(Page(render(report)).text.split())


def with_lineage(report: AuditReport, lineage: str) -> AuditReport:
    return report.model_copy(update={"subjects": report.subjects.model_copy(update={"lineage": lineage})})


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_has_a_report(verdict: Verdict) -> None:
    assert REPORTS[verdict].judgement.verdict is verdict


@pytest.mark.parametrize("verdict", Verdict)
def test_verdict_and_claim_are_those_of_the_json(verdict: Verdict) -> None:
    report = AuditReport.model_validate_json(REPORTS[verdict].to_bytes())
    page = Page(render(report))

    assert page.values("data-verdict") == [report.judgement.verdict.value]
    assert page.values("data-claim") == [report.judgement.claim.value]
    assert verdict.value in page.text


@pytest.mark.parametrize("report", ALL)
def test_every_reason_limitation_and_finding_is_shown(report: AuditReport) -> None:
    text = shown(report)
    judgement = report.judgement
    said = [*judgement.limitations, *(one.text for one in (*judgement.reasons, *judgement.findings))]

    assert judgement.limitations
    assert not [sentence for sentence in said if " ".join(sentence.split()) not in text]


@pytest.mark.parametrize("report", ALL)
def test_what_it_does_not_prove_stands_before_every_figure_and_table(report: AuditReport) -> None:
    data = render(report).decode()

    assert data.index('id="verdict"') < data.index('id="claim"') < data.index('id="limitations"')
    assert data.index('id="limitations"') < min(data.index("<figure"), data.index("<table"))


@pytest.mark.parametrize("report", ALL)
def test_every_tag_is_closed_in_order_and_no_id_is_used_twice(report: AuditReport) -> None:
    page = Page(render(report))
    ids = page.values("id")

    assert page.open == []
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("report", ALL)
def test_every_name_that_is_pointed_at_exists(report: AuditReport) -> None:
    page = Page(render(report))
    ids = set(page.values("id"))
    pointed = {name for value in page.values("aria-labelledby") for name in value.split()}
    links = [value for value in page.values("href") if value != "data:,"]

    assert pointed <= ids
    assert {link.removeprefix("#") for link in links} <= ids
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize("report", ALL)
def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(report: AuditReport) -> None:
    data = render(report)
    page = Page(data)

    assert not {"script", "iframe", "object", "embed", "img", "base", "form", "use", "image"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in {"src", "action", "style"}]
    assert not re.search(r"https?:|@import|url\(|javascript:", data.decode(), flags=re.IGNORECASE)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page.values("content")


@pytest.mark.parametrize("report", ALL)
def test_headings_descend_one_level_at_a_time(report: AuditReport) -> None:
    levels = [int(tag[1]) for tag in Page(render(report)).tags if re.fullmatch("h[1-6]", tag)]

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("report", ALL)
def test_every_figure_has_a_caption_a_description_and_its_data_as_a_table(report: AuditReport) -> None:
    page = Page(render(report))
    made = figures(report)

    assert [page.tags.count(tag) for tag in ("figure", "figcaption", "svg", "title", "desc")] == [
        len(made), len(made), len(made), len(made) + 1, len(made),
    ]  # fmt: skip
    for figure in made:
        assert figure.table.rows
        assert " ".join(figure.message.split()) in shown(report)
    assert page.values("role").count("img") == len(made)


def test_a_report_with_everything_has_every_figure() -> None:
    assert len(figures(ACCEPTED)) == len(FIGURES)


def test_a_figure_without_data_is_left_out() -> None:
    facts = ACCEPTED.evidence.facts.model_copy(update={"pathway": None, "relearning": ()})
    bare = ACCEPTED.evidence.model_copy(
        update={"facts": facts, "classes": (), "figures": Figures(roc=(), histograms=(), p_values=())}
    )
    report = ACCEPTED.model_copy(update={"evidence": bare})

    assert [figure.key for figure in figures(report)] == ["p-values", "size"]
    assert Page(render(report)).open == []


@pytest.mark.parametrize("report", ALL)
def test_every_table_has_a_caption_and_rows_as_wide_as_its_columns(report: AuditReport) -> None:
    for table in tables(report):
        assert table.caption
        covered = [0] * len(table.rows)
        for index, row in enumerate(table.rows):
            for cell in row:
                for further in range(cell.rows):
                    covered[index + further] += cell.span
        assert covered == [len(table.columns)] * len(table.rows), table.key


def test_what_is_not_estimable_is_shown_as_its_reason_and_never_as_a_number() -> None:
    text = shown(ACCEPTED)

    assert f"not estimable: {TOO_FEW}" in text
    assert "tpr 0 001, after deletion (candidate): " + TOO_FEW in text


def test_the_digests_and_every_earlier_attempt_are_shown() -> None:
    text = shown(REJECTED)
    plan = REJECTED.plan

    assert all(str(value) in text for _, value in REJECTED.subjects)
    assert REJECTED.previous_attempts
    assert all(one.report_digest in text and one.plan_digest in text for one in REJECTED.previous_attempts)
    assert all(digest in text for digest in REJECTED.evidence.facts.digests.values())
    assert {plan.split_commitment, REJECTED.deletion.root} <= set(re.findall(r"[0-9a-f]{64}", text))


def test_a_first_attempt_speaks_of_no_other() -> None:
    assert "Earlier attempts" not in shown(ACCEPTED)


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&b<c>", "{{ 7 * 7 }}", "</style>"]
)
def test_hostile_text_is_shown_and_not_interpreted(hostile: str) -> None:
    judgement = ACCEPTED.judgement.model_copy(update={"limitations": (hostile,)})
    report = with_lineage(ACCEPTED, hostile).model_copy(update={"judgement": judgement, "rung_kind": hostile})
    page = Page(render(report))

    assert hostile in page.text
    assert not {"script", "img", "c"} & set(page.tags)
    assert page.tags.count("style") == 1


@settings(max_examples=20, deadline=None)  # a page takes 0.1 s on an idle core
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_any_lineage_is_shown_as_it_is(lineage: str) -> None:
    assert lineage in Page(render(with_lineage(ACCEPTED, lineage))).text


def test_rendering_is_repeatable() -> None:
    assert render(ACCEPTED) == render(ACCEPTED)


def test_one_request_for_one_sample_is_spoken_of_in_the_singular() -> None:
    report = SINGLE.model_copy(update={"deletion": SINGLE.deletion.model_copy(update={"tickets": 1})})

    assert "One request for erasure" in shown(report)
    assert "the deleted sample can still be recognised" in shown(report)
