"""How numbers are written in report, summary and model card; an undefined number is a dash, never 0."""

import pandas as pd

DASH = "–"


def area(value: float) -> str:
    """Three digits: 0.912."""
    return DASH if pd.isna(value) else f"{value:.3f}".replace("-", "−")


def signed(value: float) -> str:
    """Three digits with a sign: +0.012, −0.005."""
    return DASH if pd.isna(value) else f"{value:+.3f}".replace("-", "−")


def count(value: float) -> str:
    """A whole number with commas."""
    return DASH if pd.isna(value) else f"{int(value):,}"


def percent(share: float) -> str:
    """A share in percent: 12 %, 0.35 %."""
    if pd.isna(share):
        return DASH
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.2g} %"


def p_value(value: float) -> str:
    """Three digits, or that it is below 0.001."""
    return DASH if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def words(value: object) -> str:
    """A text or list of texts; a dash where there is none (an empty text comes back from a CSV file as NaN)."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or DASH
    return DASH if pd.isna(value) or value == "" else str(value)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, the two largest of them."""
    if pd.isna(seconds):
        return DASH
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


FILTERS = {
    "area": area,
    "signed": signed,
    "count": count,
    "percent": percent,
    "p_value": p_value,
    "duration": duration,
    "words": words,
}
"""The same as filters of a template."""
