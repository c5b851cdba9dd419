"""What a page consists of, in words and drawings, before any markup: figures, tables and their cells."""

from dataclasses import dataclass
from enum import StrEnum

from markupsafe import Markup


class Tone(StrEnum):
    """What a cell says beyond its words; the style sheet shows it with a mark, never by colour alone."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    OPEN = "open"
    """Neither: something could not be told."""
    CODE = "code"
    """A digest or an identifier, which may be broken anywhere."""
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table."""

    text: str
    tone: Tone = Tone.PLAIN
    span: int = 1
    """How many columns it covers."""
    rows: int = 1
    """How many rows it covers."""


Row = tuple[Cell, ...]
"""The first cell names the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its caption and the names of its columns."""

    key: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    @property
    def headings(self) -> tuple[tuple[str, bool], ...]:
        """Return the name of each column and whether it holds numbers."""
        whole = next((row for row in self.rows if len(row) == len(self.columns)), ())
        return tuple(
            (name, position < len(whole) and whole[position].tone is Tone.NUMBER)
            for position, name in enumerate(self.columns)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend: how a line or an area looks, and what it is."""

    style: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing with what it says, how it is read, and its data."""

    key: str
    title: str
    message: str
    """What it shows here, in one or two sentences."""
    reading: str
    """How anything of its kind is read."""
    drawing: Markup
    legend: tuple[Key, ...]
    table: Table
    source: str
    """Where its data stand in `report.json`."""


def words(text: str) -> Cell:
    """Return a cell of words."""
    return Cell(text=text)


def number(text: str) -> Cell:
    """Return a cell that is aligned as a number."""
    return Cell(text=text, tone=Tone.NUMBER)


def code(text: str) -> Cell:
    """Return a cell with a digest or an identifier."""
    return Cell(text=text, tone=Tone.CODE)
