"""Ages in years, from the ways in which tables, DICOM headers and readings write them."""

import logging

import pandas as pd

logger = logging.getLogger(__name__)

OLDEST_AGE = 130
"""In years. Some tables have ages such as 411, which are mistakes of typing and read as not known."""

YEARS_PER_UNIT = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def to_years(cells: pd.Series, source: str) -> pd.Series:
    """Ages in years from text such as `58`, `61.5`, `058Y`, `011M`, `002W` or `003D`.

    Args:
        cells: one age per row, as text; missing where nothing is stated.
        source: key of the source, for the message that says how many ages are not known.

    Returns:
        float64, NaN for anything else and above 130 years.
    """
    text = cells.astype("str").str.strip()
    parts = text.str.extract(r"^(\d+(?:\.\d+)?)([YMWD]?)$")
    years = pd.to_numeric(parts[0]).astype("float64") * parts[1].map(YEARS_PER_UNIT).fillna(1.0)
    return _within(years, cells.notna() & (text != ""), source)


def plausible(years: pd.Series, source: str) -> pd.Series:
    """Ages (float64, years), NaN where they are below 0 or above 130; says how many of those stated are."""
    return _within(years, years.notna(), source)


def _within(years: pd.Series, stated: pd.Series, source: str) -> pd.Series:
    """Ages that can be, NaN for the others; says how many of the stated ones are among the others."""
    possible = years.between(0, OLDEST_AGE)
    wrong = int((stated & ~possible).sum())
    if wrong:
        logger.warning("%s: %s ages are not within 0 to %d years: read as not known.", source, f"{wrong:,}", OLDEST_AGE)
    return years.where(possible)
