import logging

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.sources.ages import plausible, to_years


def test_every_way_of_writing_an_age():
    cells = pd.Series(["58", "058Y", " 61.5 ", "006M", "002W", "003D", "", None, "old", "-3", "411"], dtype="str")
    years = to_years(cells, "a_source")
    assert years.dtype == "float64"
    assert years.tolist()[:6] == pytest.approx([58, 58, 61.5, 0.5, 14 / 365.25, 3 / 365.25])
    assert years.isna().tolist() == [False] * 6 + [True] * 5


def test_ages_that_cannot_be_are_counted_and_blank_ones_are_not(caplog):
    with caplog.at_level(logging.WARNING):
        to_years(pd.Series(["411", "", None, "58", "x"], dtype="str"), "a_source")
    assert "a_source: 2 ages are not within 0 to 130 years" in caplog.text
    caplog.clear()
    assert plausible(pd.Series([-1.0, 0, 130, 131, np.nan]), "b").isna().tolist() == [True, False, False, True, True]
    assert "b: 2 ages" in caplog.text
