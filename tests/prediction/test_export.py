"""The ONNX file answers as the model does, for any number of films and findings."""

import sys

import numpy as np
import pytest
import torch

from unichest_kedro.errors import SettingsError, UniChestError
from unichest_kedro.prediction import export as export_module
from unichest_kedro.prediction.export import describe_questions, export_onnx, largest_difference
from unichest_kedro.prediction.questions import ask

from .conftest import FINDINGS, SIZE, WIDTH, make_model


@pytest.fixture(scope="module")
def onnxruntime():
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="the extra [export] is not installed")
    return pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")


@pytest.fixture(scope="module")
def exported(onnxruntime):
    model = make_model(backbone="resnet10t", image_size=64)
    return model, export_onnx(model)


def test_the_file_answers_as_the_model_for_any_batch_and_findings(onnxruntime, exported):
    model, proto = exported
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(9)
    for batch, findings in ((1, 1), (5, 4), (2, 11)):
        images = torch.randint(0, 256, (batch, 1, 64, 64), generator=generator, dtype=torch.uint8)
        queries = torch.randn(findings, WIDTH, generator=generator)
        given, gate = session.run(None, {"images": images.numpy(), "queries": queries.numpy()})
        with torch.inference_mode():
            expected = model(images, queries).image
        np.testing.assert_allclose(given, expected.probabilities.numpy(), atol=1e-4)
        np.testing.assert_allclose(gate, expected.gate.numpy(), atol=1e-4)


def test_inputs_and_outputs_are_as_described(exported):
    model, proto = exported
    shapes = {
        value.name: [part.dim_param or part.dim_value for part in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {
        "images": ["batch", 1, 64, 64],
        "queries": ["findings", WIDTH],
        "probabilities": ["batch", "findings"],
        "gate": ["batch", 3],
    }
    about = {one.key: one.value for one in proto.metadata_props}
    assert about["model"] == model.fingerprint()


def test_a_conquer_model_is_exported_without_its_experts(onnxruntime, exported):
    model = make_model()
    model.set_ratios(1, 0)
    model.train()
    small = export_onnx(model)
    assert model.training
    assert not any("expert" in one.name for one in small.graph.initializer)


def test_an_official_model_is_exported(onnxruntime):
    """A published checkpoint's model is a model like every other; its 60 findings are asked at once."""
    model = make_model(backbone="resnet18", image_size=64, gate_embedding=5, experts=2)
    model.facts = {"Imported from": "x.pt", "trained_on": ["mimic_cxr"]}
    proto = export_onnx(model)
    assert largest_difference(model, proto.SerializeToString()) < 1e-4


def test_answers_that_differ_are_refused(onnxruntime, exported, monkeypatch):
    monkeypatch.setattr(export_module, "_exported", lambda model: exported[1].SerializeToString())
    monkeypatch.setattr(export_module, "largest_difference", lambda *args: 0.01)
    with pytest.raises(UniChestError, match=r"differ .* by up to 1\.0e-02, more than export.tolerance \(0\.0001\)"):
        export_onnx(make_model())


def test_a_batch_that_was_fixed_is_refused(onnxruntime, exported):
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(exported[1])
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(UniChestError, match="2 rows of `images` and no other"):
        export_module._check_free(fixed)


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SettingsError, match=r"unichest_kedro\[export\]"):
        export_onnx(make_model())


def test_the_description_has_every_findings_embedding(model):
    described = describe_questions(model, ask(model, FINDINGS))
    assert described["findings"] == list(FINDINGS)
    assert described["trained"] == [True, True, False, True]
    np.testing.assert_allclose(described["embeddings"], model.finding_embeddings.numpy(), atol=1e-7)
    assert f"(batch, 1, {SIZE}, {SIZE})" in described["inputs"]["images"]
