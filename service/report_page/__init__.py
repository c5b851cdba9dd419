"""The report for people: one HTML file that opens anywhere, without script or network, from `report.json` alone."""

from service.report_page.page import render

__all__ = ["render"]
