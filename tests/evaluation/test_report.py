import base64
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.evaluation.accounting import FATES
from unichest_kedro.evaluation.figures import auroc_figure, roc_figure
from unichest_kedro.evaluation.films import pick_films
from unichest_kedro.evaluation.leaks import count_test_films
from unichest_kedro.evaluation.metrics import auroc_table, difference_table, macro_samples, macro_table
from unichest_kedro.evaluation.report import ReportContent, leaked_in_words, render_report, summary_text
from unichest_kedro.evaluation.style import message, new_figure

from .conftest import (
    EIGHT,
    make_contradictions,
    make_coverage,
    make_leakage_pairs,
    make_leakage_summary,
    make_scores,
    make_teachers,
)

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checker(HTMLParser):
    """Notes unbalanced tags, addresses outside the page, and all visible text."""

    def __init__(self):
        super().__init__()
        self.open, self.problems, self.addresses, self.words, self.ids = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag in ("script", "link", "iframe"):
            self.problems.append(f"<{tag}>")
        if tag == "img" and not values.get("alt"):
            self.problems.append("img without alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> does not close what is open")

    def handle_data(self, data):
        self.words.append(data)


def check(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.problems == [] and checker.open == []
    return checker


@pytest.fixture
def content(scores, gates, coverage):
    samples = macro_samples(scores, resamples=50)
    metrics = auroc_table(scores)
    macro = macro_table(metrics, samples)
    sources = pd.DataFrame(
        [(s, "seed 42", True, True, "official") for s in ("mimic_cxr", "vindr_cxr")],
        columns=["source", "origin", "phantom", "trained_on", "splits"],
    )
    accounting = pd.DataFrame(
        [("mimic_cxr", 112120, 112080, 0, 0, 0, 0, 10, 10, 20)], columns=["source", "listed", *FATES]
    )
    quarantine = pd.DataFrame(
        [("mimic_cxr", "i", "<b>evil</b> & co.jpg", "imaging", "cut <script>alert(1)</script>")],
        columns=["source", "image_id", "path", "stage", "reason"],
    )
    stages = pd.DataFrame(
        [("Conquer", 5, 50, 4, 0.85, "plateau", 61.0), ("Divide", 2, 20, 2, np.nan, "epochs", 3700.0)],
        columns=["stage", "epochs", "steps", "best_epoch", "best_auroc", "stopped", "seconds"],
    )
    models = pd.DataFrame(
        [("Conquer", "all sources", 1234567, "abc123")],
        columns=["model", "description", "parameters", "fingerprint"],
    )
    return ReportContent(
        title="Run <1>",
        created="2025-01-01 10:00",
        sources=sources,
        macro=macro,
        differences={"A minus B": difference_table(macro, samples, "Conquer + Divide", "Conquer continued")},
        metrics=metrics,
        gates=gates,
        accounting=accounting,
        quarantine=quarantine,
        coverage=coverage,
        teachers=make_teachers(),
        contradictions=make_contradictions(),
        leakage_summary=make_leakage_summary(known=[("mimic_cxr", "vindr_cxr")]),
        leakage_pairs=make_leakage_pairs(),
        test_films=count_test_films(scores),
        leave_out_leaked=True,
        stages=stages,
        models=models,
        figures={"training": message(new_figure(1, 1), "t"), "gates": message(new_figure(1, 1), "g")},
        films=pick_films(scores[scores["model"] == "Conquer"], lambda *_: np.eye(9, dtype=np.uint8) * 255),
        settings="conquer:\n  epochs: 5 # <x>\n",
        versions={"torch": "2.13.0"},
        seed=42,
        seconds=75.0,
    )


def test_report_is_well_formed_and_self_contained(content):
    html = render_report(content)
    checker = check(html)
    links = [address for address in checker.addresses if address.startswith("#")]
    pictures = [address for address in checker.addresses if not address.startswith("#")]
    assert {link[1:] for link in links} <= set(checker.ids)
    assert len(pictures) == 2 + 8
    for picture in pictures:
        head, data = picture.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert "url(" not in re.sub(r"base64,[^\"]*", "", html) and "@import" not in html
    assert len(html) < 8_000_000


def test_report_contains_the_numbers(content):
    words = " ".join(" ".join(check(render_report(content)).words).split())
    for row in content.macro.itertuples():
        assert f"{row.auroc:.3f} {row.low:.3f} to {row.high:.3f}" in words
    for value in content.metrics["auroc"].dropna():
        assert f"{value:.3f}" in words
    for text in (
        "112,120",
        "1,234,567",
        "abc123",
        "seed 42",
        "1 min 15 s",
        "1 h 1 min",
        "30 / 60 / 10",
        "33 %",
        "2.13.0",
    ):
        assert text in words
    assert "not a medical device" in words


def test_report_escapes_what_comes_from_data_and_configuration(content):
    html = render_report(content)
    assert "<script>" not in html and "<b>evil" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<h1>Run &lt;1&gt;</h1>" in html


def test_banner_says_how_much_is_phantom(content):
    assert "PHANTOMS: these numbers say nothing about real patients" in render_report(content)
    some = content.sources.assign(phantom=[False, True])
    words = " ".join(check(render_report(dataclasses.replace(content, sources=some))).words)
    assert "Some sources are PHANTOMS" in words
    none = content.sources.assign(phantom=False)
    assert "PHANTOM" not in render_report(dataclasses.replace(content, sources=none))


def test_a_stage_without_plateau_is_named(content):
    words = " ".join(check(render_report(content)).words)
    assert "Divide ran all its epochs; it did not end at a plateau" in words
    assert "Conquer stopped at its last epoch" not in words
    early = content.stages.assign(stopped="epochs")
    words = " ".join(check(render_report(dataclasses.replace(content, stages=early))).words)
    assert "Conquer stopped at its last epoch and not at a plateau" in words


def test_report_of_little(content, scores):
    """No gates, films, figures, quarantine or AUROC; a duration nobody measured."""
    little = dataclasses.replace(
        content,
        gates=content.gates.iloc[:0],
        films=(),
        figures={},
        differences={},
        quarantine=content.quarantine.iloc[:0],
        teachers=content.teachers.iloc[:1],
        contradictions=content.contradictions.iloc[:0],
        leakage_summary=make_leakage_summary().assign(same_pixels=0, near_copies=0),
        leakage_pairs=content.leakage_pairs.iloc[:0],
        macro=content.macro.assign(auroc=np.nan, low=np.nan, high=np.nan, left_out="edema"),
        seconds=float("nan"),
    )
    checker = check(render_report(little))
    words = " ".join(checker.words)
    assert "nan" not in words.lower().split()
    assert "No label contradicted another" in words and "No finding depends on a single source" in words
    assert "1 pair of sources: no common film found, and none known of" in words
    assert "No test film was found among the films trained on" in words
    assert "Nothing is in quarantine" in words and "#films" not in checker.addresses
    assert "left out for want of positives or negatives" in words


def test_tables_that_went_through_csv_and_figures_through_png_look_the_same(content, tmp_path):
    picture = tmp_path / "gates.png"
    content.figures["gates"].savefig(picture)
    content.macro.to_csv(tmp_path / "macro.csv", index=False)
    back = pd.read_csv(tmp_path / "macro.csv")
    assert back["left_out"].isna().all()
    figures = content.figures | {"gates": picture.read_bytes()}
    again = dataclasses.replace(content, macro=back, figures=figures)
    assert render_report(again) == render_report(content)


def test_a_table_without_its_columns_is_refused(content):
    with pytest.raises(ValueError, match=r"report table 'macro' lacks the columns \['low', 'high'\]"):
        dataclasses.replace(content, macro=content.macro.drop(columns=["low", "high"]))
    with pytest.raises(ValueError, match=r"figures \['pie'\] have no caption"):
        dataclasses.replace(content, figures={"pie": content.figures["gates"]})


def words_of(content):
    return " ".join(" ".join(check(render_report(content)).words).split())


def test_quarantine_has_totals_by_source_and_stage(content):
    rows = [("vindr_cxr", f"i{k}", f"i{k}.dicom", "ingestion", "no such file") for k in range(3)]
    more = pd.DataFrame(rows, columns=content.quarantine.columns)
    words = words_of(dataclasses.replace(content, quarantine=pd.concat([content.quarantine, more])))
    assert "Source Ingestion Imaging Total MIMIC-CXR 0 1 1 VinDr-CXR 3 0 3 All sources 3 1 4" in words


def test_labels_section_says_what_contradicts_and_what_one_source_teaches(content):
    words = words_of(content)
    assert "1,235 labels of MIMIC-CXR and VinDr-CXR contradicted another label" in words
    assert "MIMIC-CXR 1,234 Edema No Finding 34 No Finding is absent" in words
    assert "VinDr-CXR ILD" in words
    assert "one way only, so that nothing can be learnt but the source: Edema." in words
    assert "Taught by no source that was trained on: Scar." in words
    many = pd.concat([content.contradictions] * 30)
    assert "20 further kinds are in the table of contradictions" in words_of(
        dataclasses.replace(content, contradictions=many)
    )


def test_leakage_section_tells_pairs_and_what_is_known(content):
    words = words_of(content)
    assert "MIMIC-CXR and VinDr-CXR 2 1 3 0 Known to share films." in words
    assert "No common film was found" not in words
    assert "Some of the 6 pairs" in words
    # Three examples of a pair of sources, and all of the other.
    assert sum(words.count(f"v{k} near copy {k} 0.950") for k in range(5)) == 3
    assert "MIMIC-CXR test m7 MIMIC-CXR test m8 negative 2 0.990" in words
    assert "MIMIC-CXR 40 0 1 0 0 1 VinDr-CXR 40 0 0 0 0 0" in words
    silent = make_leakage_summary(known=[("mimic_cxr", "vindr_cxr")]).assign(same_pixels=0, near_copies=0)
    assert "Known to share films. No common film was found among those at hand." in words_of(
        dataclasses.replace(content, leakage_summary=silent)
    )


def with_leaks(content, leave_out):
    films = content.test_films.assign(leaked=[3, 0])
    return dataclasses.replace(content, test_films=films, leave_out_leaked=leave_out)


def test_leaked_films_are_counted_and_said_to_be_out_or_in(content):
    out, kept = with_leaks(content, True), with_leaks(content, False)
    words = words_of(out)
    assert "3 of 80 test films are also among the films trained on (MIMIC-CXR 3): left out." in words
    assert "MIMIC-CXR trained on 40 3 37" in words
    words = words_of(kept)
    assert "NOT left out, so that these numbers are too high" in words and "MIMIC-CXR trained on 40 3 40" in words
    assert '<p class="warning">3 of 80' in render_report(kept) and '<p class="note">3 of 80' in render_report(out)


def test_a_source_with_nothing_to_be_judged_by_is_named(content):
    films = content.test_films.assign(leaked=[40, 0])
    words = words_of(dataclasses.replace(content, test_films=films))
    assert "Not judged, for want of a test film that was not trained on: MIMIC-CXR." in words
    words = words_of(dataclasses.replace(content, test_films=content.test_films.iloc[:1]))
    assert "Not judged, for want of a test film: VinDr-CXR." in words


def of_eight(content):
    """The report of a run with all eight sources, four of them zero-shot."""
    scores = make_scores(findings=EIGHT)
    samples = macro_samples(scores, resamples=20)
    metrics = auroc_table(scores)
    macro = macro_table(metrics, samples)
    trained = scores.drop_duplicates("source")["trained_on"].tolist()
    known = [("chestxray14", "siim_acr"), ("mimic_cxr", "chestxray14")]
    return dataclasses.replace(
        content,
        sources=pd.DataFrame(
            {"source": list(EIGHT), "origin": "x", "phantom": False, "trained_on": trained, "splits": "official"}
        ),
        macro=macro,
        differences={"A minus B": difference_table(macro, samples, "Conquer + Divide", "Conquer continued")},
        metrics=metrics,
        coverage=make_coverage(EIGHT),
        leakage_summary=make_leakage_summary(tuple(EIGHT), known),
        test_films=count_test_films(scores),
        figures={"roc": roc_figure(scores), "auroc": auroc_figure(metrics)},
    )


def test_trained_on_and_zero_shot_sources_stand_apart(content):
    eight = of_eight(content)
    html = render_report(eight)
    words = " ".join(" ".join(check(html).words).split())
    assert words.index("Sources trained on") < words.index("Zero-shot sources")
    assert "Model Mean MIMIC-CXR ChestX-ray14 CheXpert VinDr-CXR Conquer" in words
    assert "Model Mean Shenzhen Open-I SIIM-ACR PadChest Conquer" in words
    assert "Open-I (zero-shot): known test images" in words
    assert "Mean of zero-shot sources" in words
    # Without zero-shot sources nothing is said of them.
    words = words_of(content)
    assert "Zero-shot sources" not in words and "Sources trained on" not in words


def test_summary_has_a_table_of_each_kind(content):
    blocks = summary_text(of_eight(content).macro, "Left out: none.", "", "Phantoms.").split("\n\n")
    assert [block.split("  ")[0] for block in blocks] == ["Test AUROC", "Zero-shot AUROC"]
    header = blocks[1].splitlines()[0].split()
    assert header == ["Zero-shot", "AUROC", "Shenzhen", "Open-I", "SIIM-ACR", "PadChest", "mean"]
    assert blocks[1].splitlines()[-2:] == ["Left out: none.", "Phantoms."]
    assert max(len(line) for line in "\n".join(blocks).splitlines()) <= 100


def test_leaks_in_words(content):
    films = pd.DataFrame(
        [("siim_acr", False, 100, 1), ("open_i", False, 50, 0)], columns=["source", "trained_on", "films", "leaked"]
    )
    assert (
        leaked_in_words(films, True) == "1 of 150 test films is also among the films trained on (SIIM-ACR 1): left out."
    )
    assert "(SIIM-ACR 1): NOT left out" in leaked_in_words(films, False)


def test_summary_has_a_row_per_model_and_a_column_per_source(content):
    lines = summary_text(content.macro, "Phantoms.").splitlines()
    assert lines[0].split() == ["Test", "AUROC", "MIMIC-CXR", "VinDr-CXR", "mean"]
    assert lines[-1] == "Phantoms."
    area = content.macro.set_index(["model", "source"])["auroc"]
    last = lines[-2]
    assert last.startswith("Conquer + Divide") and last.endswith(f"{area[('Conquer + Divide', 'mean')]:.3f}")
    assert len({len(line) for line in lines[:-1]}) == 1
    assert "–" in summary_text(content.macro.assign(auroc=np.nan))
