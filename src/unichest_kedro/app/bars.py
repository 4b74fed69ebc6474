"""From the rows of one film to the bars of the page."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from unichest_kedro.evaluation.calibration import Calibrations
from unichest_kedro.evaluation.films import NOTHING_FOUND
from unichest_kedro.evaluation.style import finding_title


class Bar(NamedTuple):
    """One finding of one film.

    Attributes:
        finding: The model's name of it.
        title: What the reader sees.
        asked_as: The words that were used, "" where they are the name.
        value: Length of the bar, 0 to 1: the calibrated probability where there is one, else the bare one.
        calibrated: Which of the two it is.
        threshold: On the scale of `value`; None for none.
        above: Whether the finding is called; None without a threshold.
        trained: Whether it was asked in training; None where the model folder does not say.
    """

    finding: str
    title: str
    asked_as: str
    value: float
    calibrated: bool
    threshold: float | None
    above: bool | None
    trained: bool | None

    @property
    def shown(self) -> str:
        """The value in words: a calibrated probability as a percentage, a bare one as a score."""
        return f"{self.value:.0%}" if self.calibrated else f"{self.value:.2f}"


def bars_of(table: pd.DataFrame, calibrations: Calibrations | None) -> list[Bar]:
    """Bars of one answered film, highest first, equals in the order of the table; uncalibrated ones below the others.

    A calibrated probability and a bare score are not to be compared, so they are not ranked among each other.

    Args:
        table: Rows of schema `Predictions`, of one film.
        calibrations: Those that the table was made with; a threshold goes through the same curve as the answers.
    """
    bars = [_bar(row, calibrations) for row in table.to_dict("records")]
    return sorted(bars, key=lambda bar: (not bar.calibrated, -bar.value))


def first_choice(bars: Sequence[Bar], former: str = "") -> str:
    """Which bar is chosen at first: the one that was, else the highest that is a finding, "" without any."""
    names = [bar.finding for bar in bars]
    if former in names:
        return former
    return next((name for name in names if name not in NOTHING_FOUND), names[0] if names else "")


def experts_line(table: pd.DataFrame) -> str:
    """The gate's weights of a film in one line, "" for a model that uses no experts."""
    weights = table.filter(regex=r"^expert_\d+$").iloc[0].dropna()
    return " · ".join(f"{name.removeprefix('expert_')}: {weight:.0%}" for name, weight in weights.items())


def split_words(written: str) -> tuple[str, ...]:
    """Findings as they are written into the box: one, or several with semicolons or lines between them."""
    parts = (" ".join(part.split()) for part in written.replace("\n", ";").split(";"))
    return tuple(dict.fromkeys(part for part in parts if part))


def _bar(row: dict[str, object], calibrations: Calibrations | None) -> Bar:
    finding, asked_as = str(row["finding"]), str(row["asked_as"])
    calibrated = not pd.isna(row["calibrated"])
    threshold = None if pd.isna(row["threshold"]) else float(row["threshold"])
    if calibrated and threshold is not None:
        threshold = float(calibrations.findings[finding].apply(threshold))
    return Bar(
        finding,
        finding_title(finding),
        "" if asked_as.lower() == finding.lower() else asked_as,
        float(row["calibrated"] if calibrated else row["probability"]),
        calibrated,
        threshold,
        None if pd.isna(row["above"]) else bool(row["above"]),
        None if pd.isna(row["trained"]) else bool(row["trained"]),
    )
