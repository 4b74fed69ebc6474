import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.text import TextDataset

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.pipelines.reports import create_pipeline, create_score_pipeline
from unichest_kedro.pipelines.reports.nodes import read_reports
from unichest_kedro.reports.scoring import ScoreSettings
from unichest_kedro.reports.settings import ReportSettings
from unichest_kedro.schemas import ExtractorDisagreements, ExtractorScores, Mentions, ReportLabels

XML = """<eCitation><uId id="{uid}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{terms}</MeSH></eCitation>"""
REPORTS = {
    1: ("The heart is enlarged.", "Cardiomegaly, no effusion.", ["Cardiomegaly/mild"]),
    2: ("The lungs are clear.", "", ["normal"]),
    3: ("No XXXX effusion.", "A small nodule.", ["Pleural Effusion/left"]),
    4: ("Edema.", "Edema.", ["No Indexing"]),
}


def studies_of(source, reports):
    return pd.DataFrame({"source": source, "image_id": [f"i{n}" for n in range(len(reports))], "report": reports})


@pytest.fixture
def content(vocabulary):
    """The vocabulary as a parsed file."""
    return vocabulary.model_dump(by_alias=True, mode="json", exclude_defaults=True)


@pytest.fixture
def open_i_root(tmp_path):
    """An Open-I folder of four reports and no image."""
    folder = tmp_path / "ecgen-radiology"
    folder.mkdir()
    for number, (findings, impression, terms) in REPORTS.items():
        headings = "".join(f"<major>{term}</major>" for term in terms)
        text = XML.format(uid=f"CXR{number}", findings=findings, impression=impression, terms=headings)
        (folder / f"{number}.xml").write_text(text)
    return tmp_path


def test_reports_become_mentions_and_labels(content):
    studies = studies_of("mimic_cxr", ["No edema.", "", "No edema.", "Small effusion."])
    before = studies.copy()
    mentions, labels = read_reports(studies, content, ReportSettings())
    Mentions.validate(mentions)
    ReportLabels.validate(labels)
    assert mentions["report_row"].tolist() == [0, 3]
    assert labels["image_id"].tolist() == studies["image_id"].tolist()
    assert labels["report:edema"].fillna(9).tolist() == [0, 9, 0, 9]
    assert labels["report:pleural effusion"].fillna(9).tolist() == [9, 9, 9, 1]
    pd.testing.assert_frame_equal(studies, before)


@pytest.mark.parametrize(
    ("source", "reports"), [("padchest", ["Derrame pleural.", "edema"]), ("chexpert", ["", ""]), ("mimic_cxr", [" "])]
)
def test_sources_without_english_reports_are_not_read(content, source, reports):
    mentions, labels = read_reports(studies_of(source, reports), content, ReportSettings())
    assert Mentions.validate(mentions).empty
    assert ReportLabels.validate(labels).columns.tolist() == ["source", "image_id"]
    assert len(labels) == len(reports)


def test_reports_of_an_own_source_are_read(content):
    mentions, _ = read_reports(studies_of("our_hospital", ["Mass."]), content, ReportSettings())
    assert mentions["finding"].tolist() == ["mass"]


def test_every_source_has_its_own_tables():
    outputs = create_pipeline(["mimic_cxr", "chexpert"]).outputs()
    assert outputs == {
        f"{source}_{kind}" for source in ("mimic_cxr", "chexpert") for kind in ("mentions", "report_labels")
    }


def test_the_score_pipeline_needs_no_images(content, open_i_root, tmp_path):
    catalog = DataCatalog(
        {
            "open_i_root": MemoryDataset(SourceFolder("open_i", open_i_root, phantom=False)),
            "vocabulary": MemoryDataset(content),
            "params:reports": MemoryDataset(ReportSettings()),
            "params:extractor_score": MemoryDataset(ScoreSettings(resamples=20)),
            "params:seed": MemoryDataset(0),
            "extractor_scores": CSVDataset(filepath=str(tmp_path / "scores.csv")),
            "extractor_disagreements": CSVDataset(filepath=str(tmp_path / "disagreements.csv")),
            "extractor_page": TextDataset(filepath=str(tmp_path / "page.html")),
        }
    )
    SequentialRunner().run(create_score_pipeline(), catalog)
    scores = ExtractorScores.validate(catalog.load("extractor_scores")).set_index("finding")
    assert scores["reports"].iloc[0] == 3
    assert scores.loc["cardiomegaly", ["agreed", "invented", "missed"]].tolist() == [1, 0, 0]
    assert scores.loc["pleural effusion", ["agreed", "invented", "missed"]].tolist() == [0, 0, 1]
    disagreements = ExtractorDisagreements.validate(catalog.load("extractor_disagreements"))
    assert disagreements[["report_id", "finding", "kind"]].to_numpy().tolist() == [
        ["CXR3", "pleural effusion", "missed"],
        ["CXR3", "nodule", "invented"],
    ]
    assert "CXR3" in catalog.load("extractor_page")
