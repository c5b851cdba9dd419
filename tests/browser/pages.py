"""Opens the page of a report as its reader does: from the file system, without network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

from mcu_core.report.document import AuditReport
from service.report_page import render

Scheme = Literal["light", "dark"]
DESK, PHONE = (1280, 800), (380, 800)
"""Widths and heights in CSS pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A page with everything that it asked for and complained about."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def opened(
    browser: Browser,
    folder: Path,
    report: AuditReport,
    *,
    size: tuple[int, int] = DESK,
    scheme: Scheme = "light",
) -> Iterator[Opened]:
    """Write the report's page and open it."""
    file = folder / f"{report.judgement.verdict.value}-{report.plan.forget_count}.html"
    file.write_bytes(render(report))
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True, java_script_enabled=True
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    found = Opened(page=page, address=file.as_uri())
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.goto(found.address)
    yield found
    context.close()
