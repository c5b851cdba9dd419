"""How numbers are shown to people: rates in percent, p-values no finer than they are known, dates in UTC."""

from datetime import UTC, datetime

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
MISSING = "\N{EN DASH}"
"""Where there is nothing to show."""
_MICROSECONDS = 1_000_000


def count(value: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,}".replace(",", THIN).replace("-", MINUS)


def counted(value: int, noun: str, plural: str | None = None) -> str:
    """Return a whole number with its noun, such as `1 sample` and `2 samples`."""
    return f"{count(value)} {noun if value == 1 else plural or noun + 's'}"


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction in percent."""
    return f"{_fixed(100.0 * fraction, digits)}{THIN}%"


def points(fraction: float) -> str:
    """Return a difference of two rates in percentage points, with its sign."""
    shown = _fixed(100.0 * fraction, 1)
    return shown if shown.startswith((MINUS, "0.0")) else f"+{shown}"


def decimal(value: float, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals, so that a column of them is aligned."""
    return _fixed(value, digits)


def probability(p_value: float) -> str:
    """Return a p-value with three decimals, and `< 0.001` below: further digits say nothing."""
    return "< 0.001" if p_value < 0.001 else _fixed(p_value, 3)


def p_phrase(p_value: float) -> str:
    """Return a p-value for a sentence: `p = 0.020` or `p < 0.001`."""
    shown = probability(p_value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def significant(value: float, digits: int = 3) -> str:
    """Return a number of unknown magnitude."""
    if abs(value) >= 1_000.0:
        return count(round(value))
    return f"{value:.{digits}g}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    if seconds < 120.0:
        return f"{_fixed(seconds, 1)} s"
    if seconds < 7200.0:
        return f"{_fixed(seconds / 60.0, 1)} min"
    return f"{_fixed(seconds / 3600.0, 1)} h"


def moment(microseconds: int) -> str:
    """Return a time since 1970-01-01 UTC as a date and a time of day."""
    return f"{datetime.fromtimestamp(microseconds // _MICROSECONDS, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _fixed(value: float, digits: int) -> str:
    rounded = round(value, digits) + 0.0  # no minus before a zero
    return f"{rounded:.{digits}f}".replace("-", MINUS)
