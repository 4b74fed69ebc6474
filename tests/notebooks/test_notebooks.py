"""The notebooks run from top to bottom in the kernel of `kedro jupyter`, and lie in the repository without results."""

import base64
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = ("01_look_at_the_sources", "02_inside_the_experts", "03_apply_to_your_films")
KERNEL = "kedro_unichest_kedro"
LARGEST = 4_000_000
"""Bytes of an executed notebook, at most."""


def read(folder: Path, name: str) -> nbformat.NotebookNode:
    return nbformat.read(folder / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_tested():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_without_results_and_without_paths(name):
    notebook = read(NOTEBOOKS, name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert notebook.metadata.kernelspec.name == KERNEL
    text = "\n".join(cell.source for cell in notebook.cells)
    assert not re.search(r"""["'`\s](/|~/|\.\.?/|[A-Za-z]:\\)\w""", text), "a path"
    assert not re.search(r"\bdata/0\d_", text), "a path within data/"
    assert not re.search(r"\bPath\(|\bopen\(|read_(csv|parquet)|import tests|from tests", text), "not from the catalog"
    assert "catalog" in text


@pytest.fixture(scope="module")
def kernel(evaluated, kedro, tmp_path_factory):
    """The small project after a whole run, with the kernel that `kedro jupyter` makes for it."""
    root, _ = evaluated
    place = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(place / name.lower()))
        made = kedro(root, "jupyter", "setup")
        assert made.returncode == 0, made.stdout[-2000:]
        yield root


def execute(root: Path, name: str) -> dict[str, nbformat.NotebookNode]:
    """Run a notebook of the repository in the project; returns its executed code cells by their ids."""
    folder = root / "notebooks"
    folder.mkdir(exist_ok=True)
    shutil.copy(NOTEBOOKS / f"{name}.ipynb", folder)
    notebook = read(folder, name)
    NotebookClient(
        notebook, kernel_name=KERNEL, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert len(nbformat.writes(notebook)) < LARGEST
    return {cell["id"]: cell for cell in notebook.cells if cell.cell_type == "code"}


def text_of(cell: nbformat.NotebookNode) -> str:
    """All that a cell printed or shows as a table."""
    shown = [
        out.get("text", "") + out.get("data", {}).get("text/plain", "") + out.get("data", {}).get("text/html", "")
        for out in cell.outputs
    ]
    return "".join(shown)


def picture_of(cell: nbformat.NotebookNode, place: Path) -> Image.Image:
    """The figure that a cell shows."""
    pictures = [out.data["image/png"] for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == 1, f"cell {cell['id']} shows {len(pictures)} pictures"
    file = place / f"{cell['id']}.png"
    file.write_bytes(base64.b64decode(pictures[0]))
    return Image.open(file)


@pytest.mark.end_to_end
def test_the_sources_are_looked_at(kernel, tmp_path):
    cells = execute(kernel, "01_look_at_the_sources")
    assert "VinDr-CXR" in text_of(cells["setup"])
    assert "phantoms" in text_of(cells["setup"])
    assert "quarantined" in text_of(cells["studies"])
    for name in ("people", "coverage", "leakage", "pair", "films"):
        picture = picture_of(cells[name], tmp_path)
        assert min(picture.size) > 300, name
        assert len(picture.convert("L").getcolors()) > 20, name
    assert "chestxray14" in text_of(cells["leakage-table"])
    assert "siim_acr" in text_of(cells["leakage-table"])


@pytest.mark.end_to_end
def test_the_experts_are_looked_into(kernel, tmp_path):
    cells = execute(kernel, "02_inside_the_experts")
    for name in ("gate", "judge", "heat"):
        assert min(picture_of(cells[name], tmp_path).size) > 300, name
    heat = picture_of(cells["heat"], tmp_path).convert("HSV").getchannel("S")
    assert max(heat.getdata()) > 100, "a heat map has colours"
    assert "Without expert 3" in text_of(cells["differences"])
    assert "without expert 3" in text_of(cells["film"])
    assert "MIMIC-CXR" in text_of(cells["gate-table"])


@pytest.mark.end_to_end
def test_films_are_answered(kernel, kedro, tmp_path):
    films = kernel / "data/01_raw/phantoms/shenzhen"
    made = kedro(kernel, "run", "--pipeline=predict", f"--params=predict.images={films},predict.findings=effusion")
    assert made.returncode == 0, made.stdout[-2000:]
    cells = execute(kernel, "03_apply_to_your_films")
    assert picture_of(cells["figure"], tmp_path).width > 300
    assert "pleural effusion" in text_of(cells["words"])
    assert "swallowed coin" in text_of(cells["words"])
    warned = text_of(cells["arrays"])
    assert "colour picture" in warned
    assert "does not look like an upright frontal chest film" in warned
    assert "answered" in text_of(cells["predictions"])
    assert "answer_films" in text_of(cells["pipeline"])
