"""The report as a page: the numbers of the JSON and no others, nothing from elsewhere, nothing that runs."""

import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.report import AuditReport, Interval, Measurements, ModelName, PathPoint, PathwayReport, Verdict
from service.domain.run import WorkOrder
from service.report_html import (
    BOTTOM,
    HEADLINES,
    HEIGHT,
    LEFT,
    MODEL_LABELS,
    RIGHT,
    TEST_LABELS,
    TOP,
    WIDTH,
    path_chart,
    render,
)
from tests.attempts import NO_TRACE, REMEMBERS, REMEMBERS_NOTHING, TRACE_LEFT, measured
from tests.measurements import PATHWAY, report_of
from tests.records import SPEC, an_attempt, digest_of

ORDER = WorkOrder(
    run_id=SPEC.run_id,
    spec=SPEC,
    epoch=2,
    rung_index=0,
    audits_before=1,
    pathway_epoch=None,
    previous_attempts=(an_attempt(1),),
    split_key=digest_of("split key"),
)
MEASURED: dict[Verdict, Measurements] = {
    Verdict.ACCEPT: measured(ORDER, REMEMBERS, NO_TRACE),
    Verdict.REJECT: measured(ORDER, REMEMBERS, TRACE_LEFT),
    Verdict.VACUOUS: measured(ORDER, REMEMBERS_NOTHING, NO_TRACE),
    Verdict.INVALID: measured(ORDER, REMEMBERS, NO_TRACE.model_copy(update={"tails": ()})),
}
REPORTS = {verdict: report_of(ORDER, found) for verdict, found in MEASURED.items()}
SCHEMA = resources.files("service") / "schemas" / "report.schema.json"
REGENERATE = (
    "python -c 'import json; from mcu_core.report import AuditReport; "
    "print(json.dumps(AuditReport.model_json_schema(), indent=2, sort_keys=True))' > service/schemas/report.schema.json"
)


class Page(HTMLParser):
    """What a browser would see: text, tags and attributes."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "link", "br", "img", "input", "hr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def page(report: AuditReport) -> Page:
    return Page(render(report))


def with_lineage(report: AuditReport, lineage: str) -> AuditReport:
    return report.model_copy(update={"subjects": report.subjects.model_copy(update={"lineage": lineage})})


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_is_shown_with_its_sentence_and_its_reasons(verdict: Verdict) -> None:
    report = REPORTS[verdict]
    shown = page(report).text

    assert report.judgement.verdict is verdict
    assert verdict.value in shown
    assert HEADLINES[verdict] in shown
    assert all(reason.text in shown for reason in report.judgement.reasons)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_tag_is_closed_in_order(verdict: Verdict) -> None:
    assert page(REPORTS[verdict]).open == []


def test_every_verdict_every_model_and_every_test_has_words() -> None:
    tests = {test.name for test in REPORTS[Verdict.ACCEPT].judgement.tests}

    assert HEADLINES.keys() == set(Verdict)
    assert MODEL_LABELS.keys() == set(ModelName)
    assert TEST_LABELS.keys() == {name for name in tests if not name.startswith("positive_control.")}


@pytest.mark.parametrize("verdict", Verdict)
def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(verdict: Verdict) -> None:
    data = render(REPORTS[verdict]).decode()
    shown = Page(data.encode())

    assert not {"script", "iframe", "object", "embed", "link", "img", "base", "form"} & set(shown.tags)
    assert not [name for name, _ in shown.attributes if name.startswith("on") or name in {"src", "href", "action"}]
    assert not re.search(r"https?:|//|@import|url\(|javascript:", data, flags=re.IGNORECASE)


def test_the_numbers_are_those_of_the_json() -> None:
    report = AuditReport.model_validate_json(REPORTS[Verdict.REJECT].model_dump_json())
    shown = page(report).text
    for row in report.measurements.models:
        assert f"{100 * (1 - row.unlearning_accuracy.value):.2f} %" in shown
        assert f"{100 * row.retain_accuracy.value:.2f} %" in shown
        assert f"{100 * row.test_accuracy.value:.2f} %" in shown
        assert f"{row.auc.value:.3f}" in shown
        assert f"{100 * row.membership.gap:.2f} %" in shown
    for test in report.judgement.tests:
        assert TEST_LABELS[test.name.removeprefix("positive_control.")] in shown
        assert f"{test.statistic:.4f}" in shown
    assert f"{report.judgement.alpha:.4g}" in shown
    assert f"{report.judgement.auc_margin:.4f}" in shown
    assert f"{report.measurements.counts.forget} of {report.measurements.counts.train}" in " ".join(shown.split())


def test_the_subjects_and_every_earlier_attempt_are_shown() -> None:
    report = REPORTS[Verdict.ACCEPT]
    shown = page(report).text

    assert all(str(value) in shown for _, value in report.subjects)
    assert all(attempt.report_digest in shown for attempt in report.previous_attempts)
    assert all(limitation in shown for limitation in report.limitations)


def test_a_failed_test_is_shown_as_failed_and_a_control_that_fired_as_found() -> None:
    accepted, rejected = page(REPORTS[Verdict.ACCEPT]).text, page(REPORTS[Verdict.REJECT]).text

    assert "failed" not in accepted
    assert "failed" in rejected
    assert "trace found" in accepted


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&b<c>", "{{ 7 * 7 }}"]
)
def test_hostile_text_is_shown_and_not_interpreted(hostile: str) -> None:
    report = with_lineage(REPORTS[Verdict.ACCEPT], hostile)
    report = report.model_copy(update={"limitations": (hostile,), "rung_kind": hostile})
    shown = page(report)

    assert hostile in shown.text
    assert not {"script", "img", "c"} & set(shown.tags)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_any_lineage_is_shown_as_it_is(lineage: str) -> None:
    assert lineage in page(with_lineage(REPORTS[Verdict.ACCEPT], lineage)).text


def test_rendering_is_repeatable() -> None:
    assert render(REPORTS[Verdict.ACCEPT]) == render(REPORTS[Verdict.ACCEPT])


@pytest.mark.parametrize("note", [None, "full, since few tensors would move"])
def test_the_mask_in_effect_is_shown_with_its_reason(note: str | None) -> None:
    report = REPORTS[Verdict.ACCEPT]
    pathway = PATHWAY.model_copy(update={"mask_note": note})
    measured = report.measurements.model_copy(update={"pathway": pathway})
    shown = " ".join(page(report.model_copy(update={"measurements": measured})).text.split())

    assert "could move 43.75 % of the parameters, in 7 of 20 tensors" in shown
    assert (f": the mask is {note}." in shown) == (note is not None)
    assert "None" not in shown


# The chart


def test_without_a_pathway_there_is_no_chart() -> None:
    report = REPORTS[Verdict.ACCEPT]
    bare = report.model_copy(update={"measurements": report.measurements.model_copy(update={"pathway": None})})

    assert "svg" in page(report).tags
    assert "svg" not in page(bare).tags


accuracies = st.floats(0.0, 1.0)
points = st.builds(
    PathPoint, t=accuracies, forget_accuracy=accuracies, retain_accuracy=accuracies,
    validation_accuracy=accuracies, gap=accuracies,
)  # fmt: skip


@given(st.lists(points, max_size=6), accuracies, accuracies)
def test_everything_is_drawn_inside_the_chart(sweep: list[PathPoint], forget: float, retain: float) -> None:
    region = (Interval(start=0.25, end=1.0),)
    pathway: PathwayReport = PATHWAY.model_copy(update={"sweep": tuple(sweep), "region": region})
    chart = path_chart(pathway, forget, retain)
    drawn = [point.split(",") for line in (chart.forget, chart.retain, chart.validation) for point in line.split()]

    assert all(LEFT <= float(x) <= WIDTH - RIGHT and TOP <= float(y) <= HEIGHT - BOTTOM for x, y in drawn)
    assert all(TOP <= y <= HEIGHT - BOTTOM for y in (chart.target_forget, chart.target_retain))
    assert all(LEFT <= start <= start + width <= WIDTH - RIGHT + 0.1 for start, width in chart.regions)
    assert LEFT <= chart.chosen <= WIDTH - RIGHT


def test_higher_accuracy_is_drawn_higher_and_larger_t_further_right() -> None:
    chart = path_chart(PATHWAY, 0.9, 0.99)
    line = [tuple(map(float, point.split(","))) for point in chart.forget.split()]

    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted(y for _, y in line)  # it falls along the path, and y counts downwards
    assert chart.target_retain < chart.target_forget


def test_without_a_sweep_the_points_that_were_evaluated_are_drawn() -> None:
    bare = PATHWAY.model_copy(update={"sweep": (), "region": ()})
    line = [tuple(map(float, point.split(","))) for point in path_chart(bare, 0.9, 0.99).forget.split()]

    assert len(line) == len(PATHWAY.evaluated)
    assert [x for x, _ in line] == sorted(x for x, _ in line)


# The schema


def test_the_schema_that_is_shipped_is_the_reports() -> None:
    shipped: Any = json.loads(SCHEMA.read_text(encoding="utf-8"))

    assert shipped == AuditReport.model_json_schema(), f"regenerate it: {REGENERATE}"


@pytest.mark.parametrize("verdict", Verdict)
def test_a_report_is_valid_by_the_shipped_schema(verdict: Verdict) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(json.loads(REPORTS[verdict].model_dump_json()), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("change", [{"surprise": 1}, {"subjects": {}}, {"attempt": "two"}, {"schema_version": 2}])
def test_something_else_is_not_valid_by_the_shipped_schema(change: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    report = {**json.loads(REPORTS[Verdict.ACCEPT].model_dump_json()), **change}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, schema, cls=jsonschema.Draft202012Validator)


def test_the_schema_lies_in_the_package() -> None:
    assert Path(str(SCHEMA)).is_file()
