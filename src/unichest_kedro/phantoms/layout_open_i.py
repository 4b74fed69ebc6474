"""Open-I, the Indiana University collection, as the National Library of Medicine ships it: PNG films, XML reports.

Its reports do not say which film is frontal and which lateral. Kaggle's `indiana_projections.csv` does, and many
users put it beside the release; the phantom comes with it, so that its frontal films are known to be frontal.
"""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
from PIL import Image

from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import judge, with_mistakes
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.grid import Field
from unichest_kedro.phantoms.reports_open_i import DENIED, Report, write_report
from unichest_kedro.phantoms.wording import mentions

SOURCE = "open_i"
ROOT = ""
COHORT = Cohort(lateral=0.6, another_study=0.0, splits={"": 1.0}, added={"hernia": 0.05})
TITLE = "Phantom chest films in the layout of the Indiana University collection"


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the root."""
    return [f"NLMCXR_png/{_image_id(plan, seed)}.png" for plan in plans]


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as an 8-bit greyscale PNG."""
    Image.fromarray(np.round(film * 255).astype(np.uint8)).save(path)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write one report per study, of which every patient has one, and the table of projections."""
    folder = root / "ecgen-radiology"
    folder.mkdir()
    rng = np.random.default_rng(seed_of(SOURCE, seed, 2))
    studies = [plan for plan in plans if not plan.lateral]
    opinion = judge(truth_table(studies), SOURCE, profile, rng)
    mistaken = with_mistakes(opinion.present, profile, rng)
    doubt = opinion.doubt.mask(mistaken != opinion.present, 1.0)
    said = mentions(opinion._replace(present=mistaken, doubt=doubt), profile, rng, DENIED)
    films: dict[int, list[str]] = {}
    for plan in plans:
        films.setdefault(plan.patient, []).append(_image_id(plan, seed))
    for plan, row in zip(studies, said.to_dict("records")):
        report = write_report(row, plan.findings, plan.sex, np.random.default_rng([plan.seed, 7]))
        text = _as_xml(plan.patient, report, films[plan.patient])
        (folder / f"{plan.patient}.xml").write_text(text, encoding="utf-8")
    _projections(plans, seed).to_csv(root / "indiana_projections.csv", index=False)


def _image_id(plan: Plan, seed: int) -> str:
    """Report, a number of the examination, and 1001 for its first and 2001 for its second film."""
    examination = (plan.patient * 1_237 + seed * 17) % 9_973
    return f"CXR{plan.patient}_IM-{examination:04d}-{plan.view_number}001"


def _projections(plans: list[Plan], seed: int) -> pd.DataFrame:
    """Kaggle's table: it leaves out the letters before the report's number and gives another ending."""
    return pd.DataFrame(
        {
            "uid": [plan.patient for plan in plans],
            "filename": [_image_id(plan, seed).removeprefix("CXR") + ".dcm.png" for plan in plans],
            "projection": ["Lateral" if plan.lateral else "Frontal" for plan in plans],
        }
    )


def _as_xml(number: int, report: Report, films: list[str]) -> str:
    """One report as the collection writes it, without what names real authors and licences."""
    sections = [
        ("COMPARISON", report.comparison),
        ("INDICATION", report.indication),
        ("FINDINGS", report.findings),
        ("IMPRESSION", report.impression),
    ]
    abstract = "\n".join(
        f'            <AbstractText Label="{heading}">{escape(text)}</AbstractText>'
        if text
        else f'            <AbstractText Label="{heading}"/>'
        for heading, text in sections
    )
    terms = [("major", term) for term in report.major] + [("automatic", term) for term in report.automatic]
    mesh = "\n".join(f"      <{kind}>{escape(term)}</{kind}>" for kind, term in terms)
    caption = "PA and lateral chest x-XXXX dated XXXX." if len(films) > 1 else "Chest, one view, frontal."
    images = "\n".join(_image_element(film, place, caption) for place, film in enumerate(films, start=1))
    return f"""<?xml version="1.0" encoding="utf-8"?>
<eCitation>
   <meta type="rr"/>
   <uId id="CXR{number}"/>
   <pmcId id="{number}"/>
   <docSource>CXR</docSource>
   <IUXRId id="{number}"/>
   <articleURL/>
   <articleDate>2013-08-01</articleDate>
   <articleType>XR</articleType>
   <title>{TITLE}</title>
   <specialty>pulmonary diseases</specialty>
   <subset>CXR</subset>
   <MedlineCitation>
      <Article PubModel="Electronic">
         <ArticleTitle>{TITLE}</ArticleTitle>
         <Abstract>
{abstract}
         </Abstract>
         <Language>eng</Language>
         <PublicationTypeList>
            <PublicationType>Radiology Report</PublicationType>
         </PublicationTypeList>
      </Article>
   </MedlineCitation>
   <MeSH>
{mesh}
   </MeSH>
{images}
</eCitation>
"""


def _image_element(film: str, place: int, caption: str) -> str:
    return f"""   <parentImage id="{film}">
      <figureId>F{place}</figureId>
      <caption>{escape(caption)}</caption>
      <panel type="single">
         <url>/hadoop/storage/radiology/extract/{film}.jpg</url>
         <imgModality>7</imgModality>
      </panel>
   </parentImage>"""
