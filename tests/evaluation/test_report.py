import base64
import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.page_pictures import figure_picture
from unichest_kedro.evaluation.report import CAPTIONS, PAGE_LIMIT, render_report
from unichest_kedro.evaluation.style import message, new_figure

from .conftest import EIGHT, make_leakage_summary, make_scores
from .looking import check, words_of
from .report_tables import WHOLE, make_content, make_example_maps, make_results, png


@pytest.fixture(scope="module")
def content():
    return make_content(make_scores())


@pytest.fixture(scope="module")
def eight():
    """A run with all eight sources, four of them zero-shot."""
    return make_content(make_scores(findings=EIGHT))


def changed(content, part, **tables):
    """The content with some tables of one part replaced."""
    return dataclasses.replace(content, **{part: dataclasses.replace(getattr(content, part), **tables)})


def words(content):
    return words_of(render_report(content))


def test_report_is_well_formed_and_self_contained(content):
    html = render_report(content)
    checker = check(html)
    links = [address for address in checker.addresses if address.startswith("#")]
    pictures = [address for address in checker.addresses if not address.startswith("#")]
    assert {link[1:] for link in links} <= set(checker.ids)
    assert len(pictures) == 2 + 2 * 8
    for picture in pictures:
        head, data = picture.split(",")
        start = {"data:image/png;base64": b"\x89PNG", "data:image/jpeg;base64": b"\xff\xd8"}[head]
        assert base64.b64decode(data).startswith(start)
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert "url(" not in re.sub(r"base64,[^\"]*", "", html) and "@import" not in html


def test_report_contains_the_numbers(content):
    text = words(content)
    for row in content.results.headline.itertuples():
        assert f"{row.auroc:.3f} {row.low:.3f} to {row.high:.3f}" in text
    measures = content.results.measures
    shown = measures[(measures["model"] == WHOLE) & (measures["group_kind"] == "all")]
    for value in shown.loc[shown["measure"] != "accuracy", "value"].dropna():
        assert f"{value:.3f}" in text
    for told in ("112,120", "1,234,567", "abc123", "seed 42", "1 min 15 s", "1 h 1 min", "30 / 60 / 10", "33 %"):
        assert told in text
    for told in ("2.13.0", "not a medical device", "ab" * 32, "validation of vindr_cxr", "p < 0.001", "p = 0.031"):
        assert told in text


def test_report_escapes_what_comes_from_data_and_configuration(content):
    html = render_report(content)
    assert "<script>" not in html and "<b>evil" not in html and "<mimic_cxr_0_0>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<h1>Run &lt;1&gt;</h1>" in html


def test_banner_says_how_much_is_phantom(content):
    sources = content.data.sources
    assert "PHANTOMS: these numbers say nothing about real patients" in words(content)
    some = changed(content, "data", sources=sources.assign(phantom=[False, True]))
    assert "Some sources are PHANTOMS" in words(some)
    assert "PHANTOM" not in words(changed(content, "data", sources=sources.assign(phantom=False)))


def test_a_stage_without_plateau_is_named(content):
    text = words(content)
    assert "Divide ran all its epochs; it did not end at a plateau" in text
    assert "Conquer stopped at its last epoch" not in text
    early = changed(content, "run", stages=content.run.stages.assign(stopped="epochs"))
    assert "Conquer stopped at its last epoch and not at a plateau" in words(early)


def test_report_of_little(content):
    """No boxes, experts, films, figures, quarantine, calibration or AUROC; a duration nobody measured."""
    inspection = content.inspection
    nothing = {f.name: getattr(inspection, f.name).iloc[:0] for f in dataclasses.fields(inspection)}
    little = changed(content, "inspection", **nothing)
    little = dataclasses.replace(little, figures={}, examples=content.examples.iloc[:0])
    data, results = content.data, content.results
    little = changed(
        little,
        "data",
        quarantine=data.quarantine.iloc[:0],
        teachers=data.teachers.iloc[:1],
        contradictions=data.contradictions.iloc[:0],
        leakage_summary=make_leakage_summary().assign(same_pixels=0, near_copies=0),
        leakage_pairs=data.leakage_pairs.iloc[:0],
    )
    undefined = dict.fromkeys(("low", "high"), np.nan)
    little = changed(
        little,
        "results",
        headline=results.headline.assign(auroc=np.nan, left_out="edema", **undefined),
        measures=results.measures.assign(value=np.nan, positive=0, **undefined),
        thresholds=results.thresholds.assign(threshold=np.nan),
        comparison=results.comparison.iloc[:0],
    )
    little = changed(little, "run", seconds=float("nan"))
    html = render_report(little)
    text = words_of(html)
    assert "nan" not in text.lower().split() and "0.000" not in text
    assert "No label contradicted another" in text and "No finding depends on a single source" in text
    assert "1 pair of sources: no common film found, and none known of" in text
    assert "No test film was found among the films trained on" in text and "Nothing is in quarantine" in text
    assert "left out for want of positives or negatives" in text and "No finding was calibrated" in text
    for section in ("#examples", "#experts", "#localisation", "#published"):
        assert section not in check(html).addresses


def test_what_is_not_defined_is_a_dash_with_its_reason(content):
    results = content.results
    measures, thresholds = results.measures, results.thresholds
    of_edema = (measures["finding"] == "edema") & (measures["benchmark"] == "mimic_cxr")
    needs = measures["measure"].isin(["f1", "mcc", "sensitivity", "specificity"])
    measures = measures.assign(value=measures["value"].mask(of_edema & needs))
    text = words(changed(content, "results", measures=measures))
    assert thresholds.loc[thresholds["finding"] == "edema", "threshold"].isna().all()
    assert text.count("– no threshold") == 4 and "– none possible" in text
    of_mean = (measures["finding"] == "mean") & (measures["benchmark"] == "mimic_cxr") & (measures["group"] == "all")
    without = words(
        changed(content, "results", measures=measures.assign(value=measures["value"].mask(of_mean & needs)))
    )
    assert without.count("– no threshold") == 4 + 4 and "no finding has both" not in without
    gone = measures.assign(value=measures["value"].mask(of_edema), positive=measures["positive"].mask(of_edema, 0))
    assert "Edema 0 " in words(changed(content, "results", measures=gone))
    assert "– no positive" in words(changed(content, "results", measures=gone))


def test_a_mean_over_fewer_findings_says_so(content):
    """As F1's where some findings have no threshold."""
    measures = content.results.measures
    fewer = (measures["finding"] == "mean") & (measures["measure"] == "f1") & (measures["benchmark"] == "mimic_cxr")
    measures = measures.assign(findings=measures["findings"].mask(fewer & (measures["group"] == "all"), 2))
    text = words(changed(content, "results", measures=measures))
    assert text.count(" mean of 2 ") == 1 and "Mean of 3 " in text
    assert " mean of " not in words(content)


def test_a_mean_column_stands_first_and_what_counts_in_no_mean_is_marked(content):
    headline = content.results.headline
    apart = headline.assign(in_mean=headline["benchmark"] != "vindr_cxr")
    text = words(changed(content, "results", headline=apart))
    assert "Model Mean MIMIC_CXR VINDR_CXR † Conquer" in text and "† Stands by itself" in text
    assert "†" not in words(content)


def test_another_model_that_was_trained_otherwise_is_said_to_be(content):
    headline = content.results.headline
    other = headline[headline["model"] == WHOLE].assign(model="KAD", trained_on=False)
    text = words(changed(content, "results", headline=pd.concat([headline, other])))
    assert "not trained on it" in text and "not trained on it" not in words(content)


def test_a_mean_says_which_benchmarks_it_lacks(content):
    """As of a model from a file that was asked about one source: its mean is not that of the others."""
    headline = content.results.headline
    lacking = (headline["model"] == "Conquer") & (headline["benchmark"] == "mean")
    lacking = headline.assign(left_out=headline["left_out"].mask(lacking, "vindr_cxr"))
    assert words(changed(content, "results", headline=lacking)).count("without VINDR_CXR") == 1
    assert "without VINDR_CXR" not in words(content)


def test_tables_that_went_through_csv_look_the_same(content, tmp_path):
    names = ("benchmark_table", "headline", "measures", "thresholds", "comparison")
    for name in names:
        getattr(content.results, name).to_csv(tmp_path / f"{name}.csv", index=False)
    back = {
        name: pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=name == "headline" or not name.startswith("bench"))
        for name in names
    }
    assert back["headline"]["left_out"].isna().all()
    assert render_report(changed(content, "results", **back)) == render_report(content)


def test_what_does_not_fit_is_refused(content):
    with pytest.raises(ValueError, match=r"report table 'sources' lacks the columns \['splits'\]"):
        changed(content, "data", sources=content.data.sources.drop(columns="splits"))
    with pytest.raises(ValueError, match=r"figures \['pie'\] have no caption"):
        dataclasses.replace(content, figures={"pie": content.figures["forest"]})


def test_findings_without_calibration_are_named_with_the_reason(content):
    assert "Not calibrated: 1 finding ILD too few films that have it (2 pos., 60 neg.)" in words(content)


def test_quarantine_has_totals_by_source_and_stage(content):
    quarantine = content.data.quarantine
    rows = [("vindr_cxr", f"i{k}", f"i{k}.dicom", "ingestion", "no such file") for k in range(3)]
    more = pd.concat([quarantine, pd.DataFrame(rows, columns=quarantine.columns)])
    text = words(changed(content, "data", quarantine=more))
    assert "Source Ingestion Imaging Total MIMIC-CXR 0 1 1 VinDr-CXR 3 0 3 All sources 3 1 4" in text


def test_labels_section_says_what_contradicts_and_what_one_source_teaches(content):
    text = words(content)
    assert "1,235 labels of MIMIC-CXR and VinDr-CXR contradicted another label" in text
    assert "MIMIC-CXR 1,234 Edema No Finding 34 No Finding is absent" in text
    assert "VinDr-CXR ILD" in text
    assert "one way only, so that nothing can be learnt but the source: Edema." in text
    assert "Taught by no source that was trained on: Scar." in text
    many = pd.concat([content.data.contradictions] * 30)
    text = words(changed(content, "data", contradictions=many))
    assert "20 further kinds are in the table of contradictions" in text


def test_leakage_section_tells_pairs_and_what_is_known(content):
    text = words(content)
    assert "MIMIC-CXR and VinDr-CXR 2 1 3 0 Known to share films." in text
    assert "No common film was found" not in text
    assert "Some of the 6 pairs" in text
    # Three examples of a pair of sources, and all of the other.
    assert sum(text.count(f"v{k} near copy {k} 0.950") for k in range(5)) == 3
    assert "MIMIC-CXR test m7 MIMIC-CXR test m8 negative 2 0.990" in text
    assert "MIMIC-CXR 40 0 1 0 0 1 VinDr-CXR 40 0 0 0 0 0" in text
    silent = make_leakage_summary(known=[("mimic_cxr", "vindr_cxr")]).assign(same_pixels=0, near_copies=0)
    text = words(changed(content, "data", leakage_summary=silent))
    assert "Known to share films. No common film was found among those at hand." in text


def test_leaked_films_are_counted_and_said_to_be_out_or_in(content):
    films = content.results.test_films.assign(leaked=[3, 0])
    out = changed(content, "results", test_films=films)
    kept = changed(out, "results", leave_out_leaked=False)
    text = words(out)
    assert "3 of 80 test films are also among the films trained on (MIMIC-CXR 3): left out." in text
    assert "MIMIC-CXR trained on 40 3 37" in text
    text = words(kept)
    assert "NOT left out, so that these numbers are too high" in text and "MIMIC-CXR trained on 40 3 40" in text
    assert '<p class="warning">3 of 80' in render_report(kept) and '<p class="note">3 of 80' in render_report(out)


def test_what_has_nothing_to_be_judged_by_is_named_with_the_reason(content):
    table = content.results.benchmark_table
    assert "Not judged" not in words(content)
    text = words(changed(content, "results", benchmark_table=table.iloc[1:]))
    assert "Not judged: MIMIC-CXR. It has no test film." in text
    gone = table.assign(films=[40, 0], films_left_out_leaked=[0, 7])
    assert "Not judged: VINDR_CXR. All its test films" in words(changed(content, "results", benchmark_table=gone))
    rare = gone.assign(notes=["Kept apart.", "Two findings are too rare."])
    text = words(changed(content, "results", benchmark_table=rare))
    assert "Not judged: VINDR_CXR. Two findings are too rare." in text and "MIMIC_CXR Kept apart." in text


def test_trained_on_and_zero_shot_benchmarks_stand_apart(content, eight):
    text = words(eight)
    assert text.index("Benchmarks of sources trained on") < text.index("Zero-shot benchmarks")
    assert "Model Mean MIMIC_CXR CHESTXRAY14 CHEXPERT VINDR_CXR Conquer" in text
    assert "Model Mean SHENZHEN OPEN_I SIIM_ACR PADCHEST Conquer" in text
    assert "OPEN_I (zero-shot): 3 findings" in text and "Mean of zero-shot sources" in text
    # Without zero-shot sources nothing is said of them.
    text = words(content)
    assert "Zero-shot benchmarks" not in text and "Benchmarks of sources trained on" not in text


def test_published_results_stand_beside_real_films_only(eight):
    phantoms = eight
    assert "KAD" not in words(phantoms) and "not re-run" not in words(phantoms)
    sources = phantoms.data.sources
    real = changed(phantoms, "data", sources=sources.assign(phantom=sources["source"] != "open_i"))
    section = words(real).split("Published results")[1]
    assert "OPEN_I AUROC KAD zero-shot 0.807" in section and "Published, not re-run" in section
    assert "CHESTXRAY14 AUROC KAD" not in section
    measures = real.results.measures
    ours = measures[(measures["model"] == WHOLE) & (measures["benchmark"] == "open_i")]
    value = ours[(ours["finding"] == "mean") & (ours["measure"] == "auroc") & (ours["group"] == "all")]["value"].item()
    assert f"0.807 {value:.3f}" in section


def test_examples_say_score_threshold_and_what_became_of_it(content):
    text = words(content)
    assert "✓ True positive : Cardiomegaly Score 0.900, threshold 0.500: called present; labelled present." in text
    assert "✗ False negative : Cardiomegaly Score 0.100, threshold 0.500: not called; labelled present." in text


@pytest.fixture(scope="module")
def large():
    """A run with all eight sources, sixty findings each, and every figure full of detail."""
    names = [f"finding number {k}" for k in range(60)]
    scores = make_scores(images=12, findings=dict.fromkeys(EIGHT, names))
    noise = np.random.default_rng(0)
    figures = {name: noisy_png(noise, 450, 800) for name in CAPTIONS}
    examples = make_example_maps(tuple(EIGHT), per_kind=3, pixels=288)
    return make_content(scores, figures=figures, examples=examples)


def noisy_png(generator, height, width):
    """A picture that can hardly be compressed, as no figure is."""
    buffer = io.BytesIO()
    Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_large_run_still_fits_and_says_what_it_leaves_out(large):
    html = render_report(large)
    assert len(html.encode()) <= PAGE_LIMIT
    text = words_of(html)
    assert "the page had no room for them" in text
    assert "Its figures are coarser than those on disk" in text


def test_tables_that_do_not_fit_are_an_error(content):
    with pytest.raises(UniChestError, match=r"the report would take 0\.\d MB even without films, more than 0\.0 MB"):
        render_report(content, limit=1000)


def test_a_figure_is_as_wide_on_the_page_however_coarse_it_is():
    whole = png(message(new_figure(4, 2), "words"), dpi=150)
    fine, coarse = figure_picture(whole, "caption"), figure_picture(whole, "caption", 0.5)
    assert fine.largest == coarse.largest == pytest.approx(24, abs=0.3)
    assert len(coarse.address) < len(fine.address) < len(base64.b64encode(whole)) + 100


def test_results_name_their_titles(scores):
    assert make_results(scores).titles == {"mimic_cxr": "MIMIC_CXR", "vindr_cxr": "VINDR_CXR"}
