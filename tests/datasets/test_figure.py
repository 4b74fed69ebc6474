import pandas as pd
from matplotlib.figure import Figure

from unichest_kedro.datasets.figure import FigureDataset
from unichest_kedro.evaluation.drawing import Drawing


def test_numbers_lie_beside_the_picture_and_the_picture_comes_back(tmp_path):
    dataset = FigureDataset(filepath=str(tmp_path / "new" / "roc.png"))
    numbers = pd.DataFrame({"x": [0.0, 1.0], "finding": ["a", "b"]})
    dataset.save(Drawing(Figure(figsize=(1, 1)), numbers))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["roc.csv", "roc.png"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "roc.csv"), numbers)
    assert dataset.load().startswith(b"\x89PNG") and dataset.load() == (tmp_path / "new" / "roc.png").read_bytes()


def test_a_plain_figure_has_a_picture_only(tmp_path):
    dataset = FigureDataset(filepath=str(tmp_path / "boxes.png"))
    (tmp_path / "boxes.csv").write_text("of another entry")
    dataset.save(Figure(figsize=(1, 1)))
    assert (tmp_path / "boxes.csv").read_text() == "of another entry"
    assert dataset.exists()
