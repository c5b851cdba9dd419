"""What the page of a report shows as its verdict."""

from html.parser import HTMLParser

VERDICT_ID = "verdict"
"""Of the one element that shows it."""


def shown_verdicts(page: bytes) -> list[str]:
    """Return the text of every element with the id `verdict`: one, where the page is as it should be."""
    reader = _Reader()
    reader.feed(page.decode("utf-8", "replace"))
    reader.close()
    return ["".join(parts).strip() for parts in reader.found]


class _Reader(HTMLParser):
    """Collects text from an element's start to the next end tag of its kind."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        if next((value for name, value in attrs if name == "id"), None) == VERDICT_ID:  # a browser takes the first
            self.found.append([])
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._inside is not None:
            self.found[-1].append(data)
