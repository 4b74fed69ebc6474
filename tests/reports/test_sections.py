from unichest_kedro.reports.sections import clean_text, parse_sections, select_text

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion or
 pneumothorax.  Bilateral nodular opacities that most likely represent
 nipple shadows.

 The cardiomediastinal silhouette is normal.

 IMPRESSION:

 1. No acute cardiopulmonary process.
 2. Compared to ___, unchanged.

 NOTIFICATION:  The findings were discussed with Dr. ___.
"""


def test_mimic_report_is_split_and_cleaned():
    sections = parse_sections(MIMIC)
    assert list(sections) == [
        "examination",
        "indication",
        "technique",
        "comparison",
        "findings",
        "impression",
        "notification",
    ]
    assert sections["findings"] == (
        "There is no focal consolidation, pleural effusion or pneumothorax. Bilateral nodular opacities that "
        "most likely represent nipple shadows.\nThe cardiomediastinal silhouette is normal."
    )
    assert sections["impression"] == "No acute cardiopulmonary process. Compared to, unchanged."
    assert select_text(sections) == sections["findings"] + "\n" + sections["impression"]
    assert select_text(sections, ["impression"]) == sections["impression"]


def test_headings_in_other_case_and_spacing():
    sections = parse_sections("Findings :  Clear lungs.\r\nImpression:Normal.\r\n")
    assert sections == {"findings": "Clear lungs.", "impression": "Normal."}
    assert parse_sections("FINDINGS: Clear lungs.  IMPRESSION: Normal.") == sections
    assert parse_sections("FINDINGS\nClear lungs.\nCONCLUSION\nNormal.") == sections
    assert parse_sections("FINDINGS  AND\tIMPRESSION: Clear lungs.") == {"findings": "Clear lungs."}


def test_headings_of_the_film_within_a_line_need_a_capital_only():
    sections = parse_sections("Indication: pneumonia? Findings: Clear lungs. Impression: Normal.")
    assert sections == {"indication": "pneumonia?", "findings": "Clear lungs.", "impression": "Normal."}
    assert list(parse_sections("History: fall. Findings and impression: No fracture.")) == ["history", "findings"]
    assert parse_sections("FINDINGS: Clear lungs. Comparison: none.") == {"findings": "Clear lungs. Comparison: none."}


def test_text_without_headings_is_findings_as_a_whole():
    assert parse_sections("The lungs are clear.\n\nNo effusion.") == {"findings": "The lungs are clear.\nNo effusion."}
    assert parse_sections("We discussed the findings: all clear.") == {
        "findings": "We discussed the findings: all clear."
    }


def test_unheaded_description_beside_an_impression_becomes_findings():
    report = """FINAL REPORT
PORTABLE CHEST

HISTORY: Rule out pneumonia.

The lungs are clear.

IMPRESSION: Normal."""
    assert parse_sections(report) == {
        "findings": "The lungs are clear.",
        "history": "Rule out pneumonia.",
        "impression": "Normal.",
    }


def test_a_title_before_a_colon_counts_as_findings():
    report = "INDICATION: Cough.\n\nPA AND LATERAL VIEWS OF THE CHEST: Clear lungs.\n"
    assert parse_sections(report) == {"findings": "Clear lungs.", "indication": "Cough."}


def test_indication_alone_gives_no_training_text():
    assert select_text(parse_sections("INDICATION: Rule out pneumonia.")) == ""


def test_empty_report_and_empty_sections():
    assert parse_sections("") == {}
    assert parse_sections("  \n \n") == {}
    assert parse_sections("FINDINGS:\n\nIMPRESSION: ___.") == {}


def test_marks_and_numbers_are_cleaned():
    assert clean_text("1. Chest x-XXXX, XXXX, normal..  2) The ___ tube at 2.5 cm.") == (
        "Chest x-, normal. The tube at 2.5 cm."
    )
