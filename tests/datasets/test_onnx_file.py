"""An ONNX file is replaced as a whole and loads as bytes."""

import pytest
from kedro.io import DatasetError

from unichest_kedro.datasets.onnx_file import OnnxFileDataset


class Model:
    """Stands for `onnx.ModelProto`."""

    def SerializeToString(self):  # noqa: N802
        return b"content"


class Broken:
    """A model that cannot be written."""

    def SerializeToString(self):  # noqa: N802
        raise ValueError("too large")


def test_round_trip_and_a_failed_save(tmp_path):
    dataset = OnnxFileDataset(filepath=str(tmp_path / "deep" / "model.onnx"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="--pipeline=export"):
        dataset.load()
    dataset.save(Model())
    with pytest.raises(DatasetError):
        dataset.save(Broken())
    assert dataset.load() == b"content"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model.onnx"]
