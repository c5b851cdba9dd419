"""Puts words, figures and tables of a report into one HTML file: the numbers of `report.json` and no others."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mcu_core.report.document import AuditReport
from service.report_page import numbers, words
from service.report_page.content import Figure, Table
from service.report_page.figures.classes import classes
from service.report_page.figures.histograms import histograms
from service.report_page.figures.p_values import p_values
from service.report_page.figures.path import path
from service.report_page.figures.relearning import relearning
from service.report_page.figures.roc import roc
from service.report_page.figures.size import size
from service.report_page.glossary import GLOSSARY
from service.report_page.tables import checks, provenance, results

FIGURES = (path, roc, histograms, p_values, classes, relearning, size)
"""In the order in which they are shown."""


def render(report: AuditReport) -> bytes:
    """Return the report as UTF-8 HTML; equal reports give equal bytes."""
    judgement = report.judgement
    page = _environment().get_template("report_page.html.j2")
    return page.render(
        report=report,
        verdict=judgement.verdict,
        headline=words.headline(judgement),
        consequence=words.CONSEQUENCES[judgement.verdict],
        short=words.SHORT[judgement.verdict],
        sign=words.SIGNS[judgement.verdict],
        claim=words.claim(judgement),
        facts=facts(report),
        steps=checks.steps(report),
        figures=figures(report),
        tables=tables(report),
        not_estimable=[
            (f"{words.result(one.name)}, {words.ROLES[one.role].lower()}", one.not_estimable or "no reason given")
            for one in results.not_estimable(report)
        ],
        attempts=checks.attempts(report),
        digests=provenance.digests(report),
        provenance=(
            provenance.method(report),
            provenance.computing(report),
            provenance.data(report),
        ),
        settings=provenance.settings(report),
        glossary=GLOSSARY,
    ).encode()


def figures(report: AuditReport) -> tuple[Figure, ...]:
    """Return the figures that the report has data for."""
    return tuple(figure for make in FIGURES if (figure := make(report)) is not None)


def tables(report: AuditReport) -> tuple[Table, ...]:
    """Return the tables for statisticians, those without content left out."""
    made = (
        results.primary(report),
        results.controls(report),
        results.utility(report),
        results.canaries(report),
        results.probes(report),
        checks.models(report),
        checks.checks(report),
        results.secondary(report),
    )
    return tuple(table for table in made if table is not None and table.rows)


def facts(report: AuditReport) -> tuple[tuple[str, str], ...]:
    """Return what somebody wants to know first: who asked for what, of which model, and when."""
    counts, candidate = report.evidence.facts.counts, report.evidence.models[-1]
    return (
        ("Model", report.subjects.lineage),
        ("Requests answered", numbers.count(report.deletion.tickets)),
        ("Samples to be forgotten", f"{numbers.count(report.deletion.samples)} of {numbers.count(counts.train)}"),
        ("New model made by", words.model(candidate.name, candidate.t)),
        ("Attempt", str(report.attempt)),
        ("Run started", numbers.moment(report.evidence.facts.started_at)),
    )


@cache
def _environment() -> Environment:
    loader = PackageLoader("service", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, _, _ = loader.get_source(environment, "report_page.css")
    environment.globals["style"] = Markup(style)  # noqa: S704 - a file of this package
    return environment
