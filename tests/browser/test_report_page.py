"""The report in a real browser: complete, quiet, legible and usable, wherever it is opened."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from mcu_core.report.document import AuditReport
from mcu_core.report.judgement import Verdict
from service.report_page import words
from service.report_page.page import FIGURES, figures
from tests.browser import contrast
from tests.browser.pages import DESK, PHONE, Scheme, opened
from tests.judged_reports import REPORTS, SINGLE

ACCEPTED = REPORTS[Verdict.ACCEPT_POWERED]
ALL = [*REPORTS.values(), SINGLE]
NAMES = [*(verdict.value for verdict in REPORTS), "one sample"]
SOME = [REPORTS[verdict] for verdict in (Verdict.ACCEPT_POWERED, Verdict.REJECT, Verdict.VACUOUS)]
AA, AA_LARGE = 4.5, 3.0
"""Least contrast of text, and of the marks of a drawing (WCAG 2.2, 1.4.3 and 1.4.11)."""

MISPLACED = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const outer = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  const outside = texts.filter(([, box]) => box.left < outer.left - 1 || box.right > outer.right + 1
    || box.top < outer.top - 1 || box.bottom > outer.bottom + 1);
  const covered = texts.filter(([, a], i) => texts.slice(i + 1).some(([, b]) => a.left < b.right - 1
    && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3));
  return [...outside, ...covered].map(([text]) => text);
})"""
"""Words of a drawing that leave it or cover others, by a pixel sideways and by a line's spacing of 3 upwards."""


@pytest.mark.parametrize("report", ALL, ids=NAMES)
def test_it_opens_from_the_file_system_asks_for_nothing_else_and_complains_of_nothing(
    chromium: Browser, folder: Path, report: AuditReport
) -> None:
    with opened(chromium, folder, report) as found:
        found.page.wait_for_load_state("networkidle")

        assert found.requests == [found.address]
        assert found.complaints == []


@pytest.mark.parametrize("report", ALL, ids=NAMES)
def test_the_verdict_that_is_seen_is_the_jsons(chromium: Browser, folder: Path, report: AuditReport) -> None:
    written = AuditReport.model_validate_json(report.to_bytes())
    with opened(chromium, folder, report) as found:
        verdict = found.page.locator("#verdict")

        assert verdict.is_visible()
        assert verdict.inner_text() == verdict.get_attribute("data-verdict") == written.judgement.verdict.value
        assert found.page.locator("#claim").inner_text() == words.claim(written.judgement)
        assert found.page.locator("#limitations li").all_inner_texts() == list(written.judgement.limitations)
        assert found.page.locator("h1").all_inner_texts() == [words.headline(written.judgement)]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("report", ALL, ids=NAMES)
def test_the_first_screen_has_verdict_and_claim(
    chromium: Browser, folder: Path, report: AuditReport, size: tuple[int, int]
) -> None:
    with opened(chromium, folder, report, size=size) as found:
        for name in ("#verdict", "h1", ".consequence", "#claim-title", "#claim"):
            box = found.page.locator(name).bounding_box()

            assert box is not None
            assert box["y"] + box["height"] <= size[1], name
        if size == DESK:
            box = found.page.locator("#limitations li").first.bounding_box()

            assert box is not None
            assert box["y"] + box["height"] <= size[1]


def test_each_figure_is_present_named_and_described(chromium: Browser, folder: Path) -> None:
    with opened(chromium, folder, ACCEPTED) as found:
        drawings = found.page.get_by_role("img")

        assert drawings.count() == len(FIGURES)
        for figure in figures(ACCEPTED):
            drawn = found.page.get_by_role("img", name=f"{figure.title} {figure.message}", exact=True)
            box = drawn.bounding_box()

            assert box is not None
            assert box["width"] >= 400
            assert drawn.locator("polyline, circle, polygon").count() >= 1
            assert found.page.get_by_role("figure", name=figure.title, exact=True).count() == 1


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("report", ALL, ids=NAMES)
def test_the_page_never_scrolls_sideways(
    chromium: Browser, folder: Path, report: AuditReport, size: tuple[int, int]
) -> None:
    with opened(chromium, folder, report, size=size) as found:
        found.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")

        assert found.page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert found.page.evaluate("document.documentElement.clientWidth") == size[0]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_no_word_of_a_drawing_lies_outside_it_or_on_another(
    chromium: Browser, folder: Path, size: tuple[int, int]
) -> None:
    for report in SOME:
        with opened(chromium, folder, report, size=size) as found:
            overlapping = found.page.evaluate(MISPLACED)

            assert overlapping == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("report", ALL, ids=NAMES)
def test_every_text_has_enough_contrast(chromium: Browser, folder: Path, report: AuditReport, scheme: Scheme) -> None:
    with opened(chromium, folder, report, scheme=scheme) as found:
        found.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        measured = contrast.pairs(found.page)

        assert len(measured) >= 5
        assert [pair for pair in measured if pair.ratio < AA] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_line_of_a_drawing_has_enough_contrast(chromium: Browser, folder: Path, scheme: Scheme) -> None:
    with opened(chromium, folder, ACCEPTED, scheme=scheme) as found:
        colours = found.page.evaluate(
            "() => [...new Set([...document.querySelectorAll('svg .line')].map(line => getComputedStyle(line).stroke))]"
        )
        card = found.page.evaluate("getComputedStyle(document.querySelector('figure')).backgroundColor")

        assert len(colours) >= 4
        assert all(contrast.ratio(channels(colour), channels(card)) >= AA_LARGE for colour in colours)


def channels(colour: str) -> tuple[int, ...]:
    return tuple(int(value) for value in colour.removeprefix("rgb(").removesuffix(")").split(","))


def test_light_and_dark_are_two_different_pages(chromium: Browser, folder: Path) -> None:
    backgrounds = []
    for scheme in ("light", "dark"):
        with opened(chromium, folder, ACCEPTED, scheme=scheme) as found:
            colour = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
            backgrounds.append(contrast.luminance(channels(colour)))

    assert backgrounds[0] > 0.8
    assert backgrounds[1] < 0.05


def test_the_keyboard_reaches_the_skip_link_first_then_every_link_table_and_detail(
    chromium: Browser, folder: Path
) -> None:
    with opened(chromium, folder, REPORTS[Verdict.REJECT]) as found:
        page = found.page
        page.keyboard.press("Tab")

        assert page.evaluate("document.activeElement.className") == "skip"
        box = page.locator(".skip").bounding_box()
        assert box is not None
        assert box["y"] >= 0
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            tag = page.evaluate("document.activeElement.tagName")
            if tag == "BODY":
                break
            reached.append(tag)
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert reached.count("SUMMARY") == page.locator("summary").count()
        assert reached.count("A") == page.locator("nav a").count()
        assert reached.count("DIV") == page.locator(".scroll:visible").count()


def test_the_skip_link_leads_to_the_result_and_return_opens_a_detail(chromium: Browser, folder: Path) -> None:
    with opened(chromium, folder, ACCEPTED) as found:
        page = found.page
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")

        assert page.evaluate("document.activeElement.id") == "main"
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("#table-path-data").is_visible()


def test_landmarks_and_tables_are_named_for_a_screen_reader(chromium: Browser, folder: Path) -> None:
    with opened(chromium, folder, ACCEPTED) as found:
        page = found.page

        for role in ("banner", "main", "navigation", "contentinfo"):
            assert page.get_by_role(role).count() == 1
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        tables = page.get_by_role("table")
        assert tables.count() == page.locator("table").count()
        for index in range(tables.count()):
            table = tables.nth(index)
            assert table.locator("caption").inner_text().strip()
            assert table.locator("thead th:not([scope=col])").count() == 0
            rows, headed = table.locator("tbody tr").count(), table.locator("tbody tr > th[scope]").count()
            assert rows == headed
        assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("report", SOME, ids=[report.judgement.verdict.value for report in SOME])
def test_it_prints_without_cutting_a_table(chromium: Browser, folder: Path, report: AuditReport) -> None:
    with opened(chromium, folder, report, size=(680, 1000), scheme="dark") as found:  # A4 less its margins: 180 mm
        printed = found.page.pdf(format="A4")
        found.page.emulate_media(media="print")
        cut = found.page.evaluate(
            """() => [...document.querySelectorAll('table, svg')].filter(each => each.getClientRects().length
              && each.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(each => each.id)"""
        )
        background = found.page.evaluate("getComputedStyle(document.querySelector('figure')).backgroundColor")

        assert printed.startswith(b"%PDF-")
        assert len(printed) > 20_000
        assert cut == []
        assert contrast.luminance(channels(background)) > 0.9
