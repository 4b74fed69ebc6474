"""Settings of reading reports and of turning what they say into labels."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from unichest_kedro.sources.base import SOURCES


class LabelSettings(BaseModel):
    """How the mentions of a finding in one report become one label.

    `likely`: what a finding is that the report calls likely, or names among alternatives ("A versus B").
    `contradiction`: where a report affirms a finding and denies it, which counts: what is affirmed anywhere
    ("affirmed"), or what the impression says of it ("impression").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    likely: Literal["present", "uncertain"] = "present"
    contradiction: Literal["affirmed", "impression"] = "affirmed"


class ReportSettings(BaseModel):
    """Which sources' reports are read, and how (`LabelSettings`).

    `english`: sources whose reports are in English. The user's own sources are taken to be; other reports are
    kept as given and never read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    english: tuple[str, ...] = ("mimic_cxr", "open_i", "shenzhen")
    labels: LabelSettings = LabelSettings()

    def reads(self, source: str) -> bool:
        """Whether the reports of a source are read."""
        return source in self.english or source not in SOURCES
