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

    `projection` is the direction of the rays of a frontal film, "" where nobody states it.
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
    projection: Series[str] | None = pa.Field(isin=("PA", "AP", ""))
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
    prevalence: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)


class Contradictions(pa.DataFrameModel):
    """One row per source and pair of findings that its labels state against each other, before they are resolved.

    `present` is the finding that was stated present and stays so; `contradicted` the one whose label was changed:
    it was absent although `present` implies it (kind "implies"), present although `present` excludes it
    ("excludes"), or a part of the union `present`, all of whose parts were absent ("union"). `count` is the number
    of images, `silent` how many of them had the contradicted label only because it was not mentioned. `resolution`
    says in words what was done; `examples` are some of the images, ids joined by ", ".
    """

    source: Series[str]
    present: Series[str]
    contradicted: Series[str]
    kind: Series[str] = pa.Field(isin=("implies", "excludes", "union"))
    count: Series[int] = pa.Field(ge=1, coerce=True)
    silent: Series[int] = pa.Field(ge=0, coerce=True)
    resolution: Series[str]
    examples: Series[str]

    class Config:
        """No other columns."""

        strict = True


class Teachers(pa.DataFrameModel):
    """One row per finding: which of the sources that are trained on can teach it.

    A source teaches a finding with positives and negatives in its train split. `taught_by`, `only_positive` and
    `only_negative` are source keys joined by ", "; `teachers` counts the first. `verdict` puts it in one word or
    two: several sources, one source, one-sided (known in one way only), untaught.
    """

    finding: Series[str] = pa.Field(unique=True)
    teachers: Series[int] = pa.Field(ge=0, coerce=True)
    taught_by: Series[str]
    only_positive: Series[str]
    only_negative: Series[str]
    verdict: Series[str] = pa.Field(isin=("several", "one source", "one-sided", "untaught"))


class Mentions(pa.DataFrameModel):
    """One row per mention of a finding in a distinct report; images of one study share a report, read once.

    `report_row` is the row of the studies table that first has the report, `sentence` counts its sentences from 0,
    `start` and `end` are characters of `sentence_text`. `finding` is a name of the vocabulary, `words` the report's
    own. `negated`, `historical` and `asked` (only asked for, or advised) exclude each other, and so do
    `uncertain` and `likely`. `statement` names the statement of normality it is, if any ("lungs"). A sentence without
    any mention is a row with finding and words "".
    """

    report_row: Series[int] = pa.Field(ge=0, coerce=True)
    sentence: Series[int] = pa.Field(ge=0, coerce=True)
    section: Series[pa.Category] = pa.Field(coerce=True)
    sentence_text: Series[pa.Category] = pa.Field(coerce=True)
    start: Series[int] = pa.Field(ge=0, coerce=True)
    end: Series[int] = pa.Field(ge=0, coerce=True)
    finding: Series[pa.Category] = pa.Field(coerce=True)
    words: Series[pa.Category] = pa.Field(coerce=True)
    statement: Series[pa.Category] = pa.Field(coerce=True)
    negated: Series[bool]
    uncertain: Series[bool]
    likely: Series[bool]
    historical: Series[bool]
    asked: Series[bool]

    class Config:
        """No other columns."""

        strict = True


class ReportLabels(pa.DataFrameModel):
    """What the reports say of each image: 1 affirmed, 0 denied, -1 uncertain, NaN not mentioned.

    One row per row of the studies. A source whose reports are not read has no `report:` columns.
    """

    source: Series[str]
    image_id: Series[str] = pa.Field(unique=True)
    said: Series[pa.Float32] | None = pa.Field(alias="^report:.+$", regex=True, isin=(1, 0, -1), nullable=True)


class ExtractorScores(pa.DataFrameModel):
    """How well the report reader agrees with the indexers of Open-I, per finding and over all (the last row).

    Counts of reports: `expected` by the indexers, `found` by the reader, `uncertain` left open by the report, `agreed`
    both, `invented` the reader alone, `missed` the indexers alone. The rates have 95% bootstrap intervals.
    """

    finding: Series[str] = pa.Field(unique=True)
    counts: Series[int] = pa.Field(
        alias="^(reports|expected|found|uncertain|agreed|invented|missed)$", regex=True, ge=0, coerce=True
    )
    rates: Series[float] = pa.Field(
        alias="^(precision|recall|f1)(_low|_high)?$", regex=True, ge=0, le=1, nullable=True, coerce=True
    )


class ExtractorDisagreements(pa.DataFrameModel):
    """One row per report and finding on which report reader and indexers disagree, the plainest first."""

    report_id: Series[str]
    finding: Series[str]
    kind: Series[str] = pa.Field(isin=("invented", "missed"))
    said: Series[str]
    sentences: Series[str] = pa.Field(nullable=True)
    terms: Series[str] = pa.Field(nullable=True)
    report: Series[str] = pa.Field(nullable=True)


class Texts(pa.DataFrameModel):
    """Each distinct text once; the row number is what `Examples.text_row` and the embeddings' rows refer to."""

    text: Series[str] = pa.Field(unique=True)


class Prompts(pa.DataFrameModel):
    """One row per finding of the vocabulary, in its order, with the words the text encoder is given for it."""

    finding: Series[str] = pa.Field(unique=True)
    prompt: Series[str]


class Examples(pa.DataFrameModel):
    """One row per usable image: row numbers into its source's image store and label table, and into the texts.

    `text_row` is -1 for an image with no text (nothing present, no report), or of a source that is only scored.
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


class FilmHashes(pa.DataFrameModel):
    """One row per film of an image store, in its order: digest of the pixels and perceptual hash, hexadecimal.

    `hash` is "" for a film that shows too little to be compared with others.
    """

    image_id: Series[str] = pa.Field(unique=True)
    digest: Series[str] = pa.Field(str_matches="^[0-9a-f]{32}$")
    hash: Series[str] = pa.Field(str_matches="^([0-9a-f]{32})?$")

    class Config:
        """No other columns."""

        strict = True


class LeakagePairs(pa.DataFrameModel):
    """One row per pair of films that are one; `a` is of the earlier split (train, val, test).

    `distance` counts the bits in which the hashes differ (0 where no pixel differs), `correlation` says how well
    the edges agree.
    """

    source_a: Series[str]
    image_a: Series[str]
    split_a: Series[str] = pa.Field(isin=SPLITS)
    source_b: Series[str]
    image_b: Series[str]
    split_b: Series[str] = pa.Field(isin=SPLITS)
    kind: Series[str] = pa.Field(isin=("same pixels", "near copy", "negative"))
    distance: Series[int] = pa.Field(ge=0, coerce=True)
    correlation: Series[float] = pa.Field(ge=0, le=1, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class LeakedFilms(pa.DataFrameModel):
    """One row per film of a validation or test split and source `seen_in` whose training films it repeats.

    It is leaked for a model that was trained on `seen_in`. `reason` names the training film, or says that the
    film's patient is in the training split.
    """

    source: Series[str]
    image_id: Series[str]
    split: Series[str] = pa.Field(isin=("val", "test"))
    seen_in: Series[str]
    reason: Series[str]

    class Config:
        """No other columns, and no film twice for one source."""

        strict = True
        unique = ["source", "image_id", "seen_in"]  # noqa: RUF012


class LeakageSummary(pa.DataFrameModel):
    """One row per pair of active sources, and per source with itself, where `films` and what follows are counted.

    Pairs of films with the same pixels, near copies, those of either kind in different splits; films of `val` and
    `test` that repeat a training film of the other source; file names that both have, where one is a user's own;
    and, in words, what is known beforehand of the two.
    """

    source_a: Series[str]
    source_b: Series[str]
    same_pixels: Series[int] = pa.Field(ge=0, coerce=True)
    near_copies: Series[int] = pa.Field(ge=0, coerce=True)
    across_splits: Series[int] = pa.Field(ge=0, coerce=True)
    leaked_val: Series[int] = pa.Field(ge=0, coerce=True)
    leaked_test: Series[int] = pa.Field(ge=0, coerce=True)
    shared_names: Series[int] = pa.Field(ge=0, coerce=True)
    shared_example: Series[str]
    known: Series[str]
    films: Series[int] = pa.Field(ge=0, coerce=True)
    not_comparable: Series[int] = pa.Field(ge=0, coerce=True)
    patients_in_two_splits: Series[int] = pa.Field(ge=0, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class _Scored(pa.DataFrameModel):
    """What a model says of an image and finding."""

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_id: Series[str]
    patient_id: Series[str]
    finding: Series[str]
    score: Series[float] = pa.Field(ge=0, le=1, coerce=True)
    label: Series[int] = pa.Field(isin=(1, 0, UNKNOWN), coerce=True)
    trained_on: Series[bool]
    leaked: Series[bool]


class Scores(_Scored):
    """One row per scored image and finding: `score` the model's probability, `label` 1, 0 or `UNKNOWN`.

    `query` holds the words in which the finding was asked, `fingerprint` a digest of what answered: a model's weights,
    or another model's file of predictions. `trained_on` says whether the model was trained on films of the source,
    `leaked` whether on this very film.
    """

    query: Series[str]
    fingerprint: Series[str]


class JudgedScores(_Scored):
    """The scores that models are judged by: a row of `Scores` for each benchmark that it belongs to, of its own split.

    All models of a benchmark have the same films. Leaked films are there where the settings keep them.
    """

    benchmark: Series[str]


class Gates(pa.DataFrameModel):
    """One row per scored image: the weight the gate gives each expert (columns `expert_1` ... sum to one)."""

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_id: Series[str]
    experts: Series[float] = pa.Field(alias=r"^expert_\d+$", regex=True, ge=0, le=1, coerce=True)


class Thresholds(pa.DataFrameModel):
    """From which score on a model calls a finding of a benchmark; NaN where no threshold can be chosen.

    `criterion` is what it maximises among the films of `threshold_from` (validation, in words), `positives` and
    `negatives` how many of these have the finding and are known to be without it.
    """

    model: Series[str]
    benchmark: Series[str]
    finding: Series[str]
    threshold: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
    criterion: Series[str] = pa.Field(isin=("youden", "f1"))
    threshold_from: Series[str]
    counts: Series[int] = pa.Field(alias="^(positives|negatives)$", regex=True, ge=0, coerce=True)

    class Config:
        """No other columns, and no finding twice."""

        strict = True
        unique = ["model", "benchmark", "finding"]  # noqa: RUF012


class Measures(pa.DataFrameModel):
    """One row per model, benchmark, finding, group of films and measure, with 95 % limits of resamples by patient.

    `finding` "mean" is the macro: the mean over the `findings` that have films of both classes (and a threshold, where
    the measure needs one). `value` is NaN where a measure is undefined. `trained_on` is about this model,
    `in_domain` about our models and says which block of the tables the benchmark stands in. Rows of the benchmarks
    "mean" and "mean_zero_shot" average the benchmarks of each block; they have no counts of films.
    """

    model: Series[str]
    benchmark: Series[str]
    source: Series[str]
    trained_on: Series[bool]
    in_domain: Series[bool]
    split: Series[str] = pa.Field(isin=SPLITS)
    finding: Series[str]
    group_kind: Series[str] = pa.Field(isin=("all", "sex", "age", "view"))
    group: Series[str]
    measure: Series[str]
    values: Series[float] = pa.Field(
        alias="^(value|low|high)$", regex=True, ge=-1 - 1e-9, le=1 + 1e-9, nullable=True, coerce=True
    )
    counts: Series[int] = pa.Field(alias="^(positive|negative|patients|findings)$", regex=True, ge=0, coerce=True)

    class Config:
        """No other columns, and nothing measured twice."""

        strict = True
        unique = ["model", "benchmark", "finding", "group_kind", "group", "measure"]  # noqa: RUF012


class Metrics(pa.DataFrameModel):
    """AUROC per model, benchmark and finding; NaN where a finding lacks a positive or a negative.

    `trained_on` says whether the model was trained on films of the source, `in_domain` whether our models were.
    """

    model: Series[str]
    benchmark: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    finding: Series[str]
    trained_on: Series[bool]
    in_domain: Series[bool]
    positive: Series[int] = pa.Field(ge=0, coerce=True)
    negative: Series[int] = pa.Field(ge=0, coerce=True)
    areas: Series[float] = pa.Field(
        alias="^(auroc|low|high)$", regex=True, ge=0, le=1 + 1e-9, nullable=True, coerce=True
    )

    class Config:
        """No other columns."""

        strict = True


class Headline(pa.DataFrameModel):
    """Macro AUROC with 95 % limits per model and benchmark, and the means "mean" and "mean_zero_shot" of each block.

    `findings` were averaged, `left_out` names those without both classes, joined by ", " (of a mean: the benchmarks
    without a macro). Without `in_mean` a benchmark counts in no mean. A mean has the source "".
    """

    model: Series[str]
    benchmark: Series[str]
    source: Series[str]
    trained_on: Series[bool]
    in_domain: Series[bool]
    in_mean: Series[bool]
    areas: Series[float] = pa.Field(
        alias="^(auroc|low|high)$", regex=True, ge=0, le=1 + 1e-9, nullable=True, coerce=True
    )
    findings: Series[int] = pa.Field(ge=0, coerce=True)
    left_out: Series[str]

    class Config:
        """No other columns, and no benchmark twice."""

        strict = True
        unique = ["model", "benchmark"]  # noqa: RUF012


class Comparisons(pa.DataFrameModel):
    """Macro of `model` minus that of `against`, on the `findings` that both answer, with 95 % limits and p-value.

    Limits and the two-sided `p_value` come from the same draws of patients for both.
    """

    model: Series[str]
    against: Series[str]
    benchmark: Series[str]
    measure: Series[str]
    values: Series[float] = pa.Field(
        alias="^(difference|low|high)$", regex=True, ge=-2, le=2, nullable=True, coerce=True
    )
    p_value: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
    findings: Series[int] = pa.Field(ge=0, coerce=True)

    class Config:
        """No other columns."""

        strict = True
        unique = ["model", "against", "benchmark", "measure"]  # noqa: RUF012


class BenchmarkTable(pa.DataFrameModel):
    """One row per benchmark of an active source: what was judged on what, and what was left out.

    `films` and `patients` were judged, `findings` counts the findings; `views` and `unknown` are its filter ("all":
    none) and label policy. `trained_on` says whether our models were trained on the source.
    """

    benchmark: Series[str] = pa.Field(unique=True)
    title: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    counts: Series[int] = pa.Field(
        alias="^(films|films_left_out_leaked|patients|findings)$", regex=True, ge=0, coerce=True
    )
    views: Series[str]
    unknown: Series[str] = pa.Field(isin=("leave_out", "absent"))
    in_mean: Series[bool]
    trained_on: Series[bool]
    notes: Series[str]

    class Config:
        """No other columns."""

        strict = True


class CalibrationBins(pa.DataFrameModel):
    """Films by their probability, all findings of a benchmark together: how many, mean score, share of positives.

    `kind` is "raw", as the model answers, or "calibrated". A bin holds `low <= score < high`, the last one 1 as well;
    means of an empty bin are NaN.
    """

    model: Series[str]
    benchmark: Series[str]
    kind: Series[str] = pa.Field(isin=("raw", "calibrated"))
    bin: Series[int] = pa.Field(ge=0, coerce=True)
    edges: Series[float] = pa.Field(alias="^(low|high)$", regex=True, ge=0, le=1, coerce=True)
    count: Series[int] = pa.Field(ge=0, coerce=True)
    means: Series[float] = pa.Field(
        alias="^(mean_score|share_positive)$", regex=True, ge=0, le=1, nullable=True, coerce=True
    )

    class Config:
        """No other columns."""

        strict = True


class Curves(pa.DataFrameModel):
    """Points of ROC (x false, y true positive rate) and precision-recall curves (x recall, y precision), in order.

    A film is called at or above `threshold`; the first of a ROC curve is infinite.
    """

    model: Series[str]
    benchmark: Series[str]
    finding: Series[str]
    curve: Series[str] = pa.Field(isin=("roc", "pr"))
    points: Series[float] = pa.Field(alias="^(x|y)$", regex=True, ge=0, le=1, coerce=True)
    threshold: Series[float] = pa.Field(ge=0, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class BoxTargets(pa.DataFrameModel):
    """One row per box that heat maps are held against: corners as parts of the film's width and height, from 0 to 1.

    `needed` readers have to put a part of the film into a box for it to belong to the region of the finding;
    `height` and `width` are the pixels that the publisher's boxes are given in, `image_row` a row of the image store.
    """

    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_id: Series[str]
    patient_id: Series[str]
    image_row: Series[int] = pa.Field(ge=0, coerce=True)
    finding: Series[str]
    reader: Series[str]
    corners: Series[float] = pa.Field(alias="^(left|top|right|bottom)$", regex=True, ge=0, le=1, coerce=True)
    needed: Series[int] = pa.Field(ge=1, coerce=True)
    sides: Series[float] = pa.Field(alias="^(height|width)$", regex=True, gt=0, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class BoxesLeftOut(pa.DataFrameModel):
    """How many boxes of a label, on how many films, no heat map is held against, and why, in words."""

    source: Series[str]
    label: Series[str]
    reason: Series[str]
    boxes: Series[int] = pa.Field(ge=1, coerce=True)
    films: Series[int] = pa.Field(ge=1, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class Localisations(pa.DataFrameModel):
    """One row per heat map (of a model, or of a prior, named in `model`) and region: one finding on one film.

    `area` is the region's part of the film. `hit` is 1 where the map's highest point lies in the region, 0 where not,
    between them where several points are equally high. `iou_05` ... `iou_95` are intersection over union of the region
    and what the map puts at or above that percentage of its range.
    """

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_id: Series[str]
    patient_id: Series[str]
    finding: Series[str]
    area: Series[float] = pa.Field(gt=0, le=1, coerce=True)
    hit: Series[float] = pa.Field(ge=0, le=1, coerce=True)
    iou: Series[float] = pa.Field(alias=r"^iou_\d\d$", regex=True, ge=0, le=1, coerce=True)

    class Config:
        """No other columns, and no region twice for one map."""

        strict = True
        unique = ["model", "source", "image_id", "finding"]  # noqa: RUF012


class LocalisationMetrics(pa.DataFrameModel):
    """How well maps find the regions of a finding: means over `films`, each with 95 % limits by patient.

    Rows with the finding "mean" average the findings of a source that have enough films (`in_mean`). `pointing` is the
    share of hits, `iou` taken at `threshold`, which comes from validation boxes (of the sources in `threshold_from`) or
    is "fixed"; `mean_iou` is the mean over all thresholds. `area` is the mean part of the film that a region covers.
    """

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    finding: Series[str]
    films: Series[int] = pa.Field(ge=0, coerce=True)
    patients: Series[int] = pa.Field(ge=0, coerce=True)
    in_mean: Series[bool]
    area: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
    values: Series[float] = pa.Field(
        alias="^(pointing|iou|mean_iou)(_low|_high)?$", regex=True, ge=0, le=1, nullable=True, coerce=True
    )
    threshold: Series[float] = pa.Field(ge=0, le=1, coerce=True)
    threshold_from: Series[str]
    tolerance: Series[float] = pa.Field(ge=0, le=1, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class LocalisationDifferences(pa.DataFrameModel):
    """`model` minus `against`, on the regions that both have maps for, with 95 % limits of paired resamples.

    `pointing_p` and so on are two-sided p-values of the same resamples.
    """

    model: Series[str]
    against: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    finding: Series[str]
    films: Series[int] = pa.Field(ge=0, coerce=True)
    in_mean: Series[bool]
    values: Series[float] = pa.Field(
        alias="^(pointing|iou|mean_iou)(_low|_high)?$", regex=True, ge=-1, le=1, nullable=True, coerce=True
    )
    p_values: Series[float] = pa.Field(
        alias="^(pointing|iou|mean_iou)_p$", regex=True, ge=0, le=1, nullable=True, coerce=True
    )

    class Config:
        """No other columns."""

        strict = True


class ExpertAnswers(pa.DataFrameModel):
    """One row per image and finding: what main network and each expert answer by themselves, and the image's gate.

    `expert_1` ... are probabilities, `gate_1` ... the weights of these experts and sum to one; other columns as in
    `Scores`.
    """

    model: Series[str]
    source: Series[str]
    split: Series[str] = pa.Field(isin=SPLITS)
    image_id: Series[str]
    patient_id: Series[str]
    finding: Series[str]
    query: Series[str]
    label: Series[int] = pa.Field(isin=(1, 0, UNKNOWN), coerce=True)
    fingerprint: Series[str]
    answers: Series[float] = pa.Field(alias=r"^(main|(expert|gate)_\d+)$", regex=True, ge=0, le=1, coerce=True)
    trained_on: Series[bool]
    leaked: Series[bool]

    class Config:
        """No other columns."""

        strict = True


class ExpertAurocs(pa.DataFrameModel):
    """Macro AUROC with 95 % limits of each variant of a model (mixture, a network alone, without one) and source."""

    model: Series[str]
    variant: Series[str]
    source: Series[str]
    trained_on: Series[bool]
    auroc: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
    findings: Series[int] = pa.Field(ge=0, coerce=True)
    left_out: Series[str]
    limits: Series[float] = pa.Field(alias="^(low|high)$", regex=True, ge=0, le=1, nullable=True, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class ExpertDifferences(pa.DataFrameModel):
    """Macro AUROC of a variant minus that of the whole mixture, with 95 % limits of paired resamples by patient.

    `p_value` is two-sided and of the same resamples.
    """

    model: Series[str]
    variant: Series[str]
    source: Series[str]
    values: Series[float] = pa.Field(
        alias="^(difference|low|high)$", regex=True, ge=-1, le=1, nullable=True, coerce=True
    )
    p_value: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class GateBySource(pa.DataFrameModel):
    """One row per source and expert: its mean gate weight with 95 % limits, and on what part of images it is largest.

    `sharpness` is the mean over the source's images of the largest weight (1/K: undecided, 1: certain).
    """

    model: Series[str]
    source: Series[str]
    images: Series[int] = pa.Field(ge=1, coerce=True)
    expert: Series[int] = pa.Field(ge=1, coerce=True)
    shares: Series[float] = pa.Field(
        alias="^(weight|low|high|chosen|sharpness)$", regex=True, ge=0, le=1 + 1e-5, coerce=True
    )

    class Config:
        """No other columns."""

        strict = True


class GateSummary(pa.DataFrameModel):
    """How far the gate tells sources apart, in bits of at most `possible`, and how sharp it is, with 95 % limits."""

    model: Series[str]
    over: Series[str]
    sources: Series[int] = pa.Field(ge=1, coerce=True)
    experts: Series[int] = pa.Field(ge=1, coerce=True)
    bits: Series[float] = pa.Field(
        alias="^(mutual_information(_low|_high)?|chosen_information|possible)$", regex=True, ge=-1e-9, coerce=True
    )
    sharpness: Series[float] = pa.Field(alias="^sharpness(_low|_high)?$", regex=True, ge=0, le=1 + 1e-5, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class CalibrationTable(pa.DataFrameModel):
    """One row per finding that a model's calibration was to be fitted for, on validation films of `origin`.

    The finding is called from `threshold` on; the calibrated probability is `sigmoid(slope * logit(p) + intercept)`
    (NaN where another curve was fitted). `left_out` says why there is none; then all three are NaN.
    """

    finding: Series[str] = pa.Field(unique=True)
    threshold: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
    curve: Series[float] = pa.Field(alias="^(slope|intercept)$", regex=True, nullable=True, coerce=True)
    films: Series[int] = pa.Field(alias="^(positives|negatives)$", regex=True, ge=0, coerce=True)
    origin: Series[str]
    left_out: Series[str]

    class Config:
        """No other columns."""

        strict = True


class AblationRuns(pa.DataFrameModel):
    """One row per model of the ablations: what it was trained on and from, how training ended, and its seconds.

    A model that only mixes another's networks otherwise has no epochs. `uses_experts` says whether its gate matters.
    """

    variant: Series[str]
    title: Series[str]
    seed: Series[int] = pa.Field(ge=0, coerce=True)
    sources: Series[str]
    start: Series[str] = pa.Field(coerce=True)
    counts: Series[int] = pa.Field(alias="^(epochs|steps|best_epoch)$", regex=True, ge=0, coerce=True)
    stopped: Series[str] = pa.Field(isin=("plateau", "epochs", ""), coerce=True)
    seconds: Series[float] = pa.Field(ge=0, coerce=True)
    uses_experts: Series[bool]

    class Config:
        """No other columns, and no model twice."""

        strict = True
        unique = ["variant", "seed"]  # noqa: RUF012


class AblationScores(pa.DataFrameModel):
    """One row per variant, seed, source and finding on test films; NaN where a measure is undefined.

    `threshold` (for F1) and the calibration behind Brier score and calibration error are shared by all sources.
    """

    variant: Series[str]
    seed: Series[int] = pa.Field(ge=0, coerce=True)
    source: Series[str]
    finding: Series[str]
    films: Series[int] = pa.Field(alias="^(positive|negative)$", regex=True, ge=0, coerce=True)
    values: Series[float] = pa.Field(
        alias="^(threshold|auroc|f1|brier|calibration_error)$", regex=True, ge=0, le=1, nullable=True, coerce=True
    )

    class Config:
        """No other columns, and no finding twice."""

        strict = True
        unique = ["variant", "seed", "source", "finding"]  # noqa: RUF012


class AblationTable(pa.DataFrameModel):
    """One row per variant, source (or `mean`, `mean_zero_shot`) and measure: mean and spread over `seeds` seeds."""

    variant: Series[str]
    title: Series[str]
    source: Series[str]
    measure: Series[str]
    value: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
    spread: Series[float] = pa.Field(ge=0, le=1, nullable=True, coerce=True)
    seeds: Series[int] = pa.Field(ge=1, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class AblationDifferences(pa.DataFrameModel):
    """One row per variant, control, source and measure: `variant` minus `against`, paired by film and seed.

    `low`, `high` and `p_patients` come from resamples by patient, `spread` and `p_seeds` from the seeds.
    """

    variant: Series[str]
    against: Series[str]
    source: Series[str]
    measure: Series[str]
    values: Series[float] = pa.Field(
        alias="^(difference|low|high)$", regex=True, ge=-1, le=1, nullable=True, coerce=True
    )
    chances: Series[float] = pa.Field(alias="^p_(patients|seeds)$", regex=True, ge=0, le=1, nullable=True, coerce=True)
    # Of two seeds that differ as far as can be, -1 and 1, the standard deviation (n - 1) is the root of 2.
    spread: Series[float] = pa.Field(ge=0, le=1.4143, nullable=True, coerce=True)
    same_sign: Series[bool]
    seeds: Series[int] = pa.Field(ge=1, coerce=True)

    class Config:
        """No other columns."""

        strict = True


class AblationGates(pa.DataFrameModel):
    """One row per variant and seed whose experts answer: how sharp its gate is and what it knows of the source.

    `sharpness` is the mean largest weight (1/K: undecided, 1: certain), `mutual_information` in bits of at most
    `possible`; every source trained on counts alike.
    """

    variant: Series[str]
    seed: Series[int] = pa.Field(ge=0, coerce=True)
    experts: Series[int] = pa.Field(ge=1, coerce=True)
    sharpness: Series[float] = pa.Field(ge=0, le=1 + 1e-5, coerce=True)
    bits: Series[float] = pa.Field(alias="^(mutual_information|possible)$", regex=True, ge=-1e-9, coerce=True)

    class Config:
        """No other columns."""

        strict = True
