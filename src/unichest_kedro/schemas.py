"""Table schemas: what each table that crosses a stage boundary looks like (Pandera models named in the catalog).

`UNKNOWN` is the one value that means "this label is not known"; every loss and every metric masks it.
"""

import pandera.pandas as pa
from pandera.typing.pandas import Series

UNKNOWN = -1
"""Label value of a finding that nobody stated for this image (0 is absent, 1 is present)."""

NATIVE_PREFIX = "native:"
"""Prefix of the studies columns that hold a source's own labels, e.g. `native:Pleural Effusion`."""

SPLITS = ("train", "val", "test")
VIEWS = ("frontal", "lateral", "unknown")


class Studies(pa.DataFrameModel):
    """One row per image of one source, as the publisher lists it and as it is on disk.

    `path` is relative to the source's root, with forward slashes. `report` is "" where there is none. A native
    label column holds the number of readers who call the label present (0 to `readers`), -1 where the one reader
    is uncertain, NaN where the label is not mentioned.
    """

    source: Series[str]
    image_id: Series[str] = pa.Field(unique=True)
    patient_id: Series[str]
    study_id: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    split_origin: Series[str]
    view: Series[str] = pa.Field(isin=VIEWS)
    sex: Series[str] = pa.Field(isin=("F", "M", ""))
    age: Series[float] = pa.Field(ge=0, le=130, nullable=True, coerce=True)
    path: Series[str]
    report: Series[str]
    readers: Series[int] = pa.Field(ge=1, coerce=True)
    native: Series[float] = pa.Field(alias=f"^{NATIVE_PREFIX}.+$", regex=True, ge=-1, nullable=True, coerce=True)

    class Config:
        """No other columns: a stray one is a mistake of the adapter."""

        strict = True


class Boxes(pa.DataFrameModel):
    """One row per box, in pixels of the original image (x to the right, y down), `label` the source's own name."""

    source: Series[str]
    image_id: Series[str]
    label: Series[str]
    reader: Series[str]
    x_min: Series[float] = pa.Field(coerce=True)
    y_min: Series[float] = pa.Field(coerce=True)
    x_max: Series[float] = pa.Field(coerce=True)
    y_max: Series[float] = pa.Field(coerce=True)

    class Config:
        """No other columns."""

        strict = True


class Quarantine(pa.DataFrameModel):
    """One row per thing that could not be used: `stage` is where it was noticed, `reason` says why in words."""

    source: Series[str]
    image_id: Series[str]
    path: Series[str]
    stage: Series[str] = pa.Field(isin=("ingestion", "imaging", "harmonisation"))
    reason: Series[str]

    class Config:
        """No other columns."""

        strict = True


class Labels(pa.DataFrameModel):
    """One row per image of `Studies`, in the same order, and one int8 column per finding: 1, 0 or `UNKNOWN`."""

    source: Series[str]
    image_id: Series[str] = pa.Field(unique=True)
    findings: Series[pa.Int8] = pa.Field(alias="^(?!source$|image_id$).+$", regex=True, isin=(1, 0, UNKNOWN))


class Coverage(pa.DataFrameModel):
    """How many images of a source are positive, negative and unknown for a finding, per split."""

    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    finding: Series[str]
    positive: Series[int] = pa.Field(ge=0, coerce=True)
    negative: Series[int] = pa.Field(ge=0, coerce=True)
    unknown: Series[int] = pa.Field(ge=0, coerce=True)


class Texts(pa.DataFrameModel):
    """Each distinct text once; the row number is what `Examples.text_row` and the embeddings' rows refer to."""

    text: Series[str] = pa.Field(unique=True)


class Prompts(pa.DataFrameModel):
    """One row per finding of the vocabulary, in its order, with the words the text encoder is given for it."""

    finding: Series[str] = pa.Field(unique=True)
    prompt: Series[str]


class Examples(pa.DataFrameModel):
    """One row per usable image: row numbers into its source's image store and label table, and into the texts.

    `text_row` is -1 for an image with no text (nothing present, no report).
    """

    source: Series[str]
    image_id: Series[str]
    patient_id: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_row: Series[int] = pa.Field(ge=0, coerce=True)
    label_row: Series[int] = pa.Field(ge=0, coerce=True)
    text_row: Series[int] = pa.Field(ge=-1, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class Scores(pa.DataFrameModel):
    """One row per scored image and finding: `score` the model's probability, `label` 1, 0 or `UNKNOWN`."""

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_id: Series[str]
    patient_id: Series[str]
    finding: Series[str]
    score: Series[float] = pa.Field(ge=0, le=1, coerce=True)
    label: Series[int] = pa.Field(isin=(1, 0, UNKNOWN), coerce=True)


class Gates(pa.DataFrameModel):
    """One row per scored image: the weight the gate gives each expert (columns `expert_1` ... sum to one)."""

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_id: Series[str]
    experts: Series[float] = pa.Field(alias=r"^expert_\d+$", regex=True, ge=0, le=1, coerce=True)


class Metrics(pa.DataFrameModel):
    """AUROC per model, source, split and finding; NaN where a finding lacks a positive or a negative."""

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    finding: Series[str]
    positive: Series[int] = pa.Field(ge=0, coerce=True)
    negative: Series[int] = pa.Field(ge=0, coerce=True)
    auroc: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
