"""A figure and the numbers it shows, which are saved side by side."""

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure


class Drawing(NamedTuple):
    """A figure and the table of all numbers that can be read off it, one row per point, bar or cell."""

    figure: Figure
    numbers: pd.DataFrame
