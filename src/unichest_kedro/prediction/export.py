"""A model as an ONNX file: images and the embeddings of findings in, probabilities and gate out."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from unichest_kedro.errors import SettingsError, UniChestError
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.answers import stored_size
from unichest_kedro.prediction.questions import Questions

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

EXTRA = "the export needs ONNX: install it with `pip install unichest_kedro[export]`"
INPUTS = ("images", "queries")
OUTPUTS = ("probabilities", "gate")

_TRIALS = ((1, 1), (3, 5), (2, 60))
"""Batches and findings at which the file is compared with the model: other numbers than those it was made with."""


class Answering(nn.Module):
    """What is exported: the model's answer about images, with its own `ratios` built in.

    Images are uint8 (B,1,S,S), 0 black to 255 white; queries float32 (Q,D). Out come probabilities float32 (B,Q) and
    the gate float32 (B,K).
    """

    def __init__(self, model: UniChest) -> None:
        """Wrap a model, which stays as it is."""
        super().__init__()
        self.model = model
        self.main_ratio, self.expert_ratio = model.ratios.tolist()

    def forward(self, images: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Answer a batch."""
        image = self.model(images, queries, main_ratio=self.main_ratio, expert_ratio=self.expert_ratio).image
        return image.probabilities, image.gate


def export_onnx(model: UniChest, tolerance: float = 1e-4) -> "onnx.ModelProto":
    """Export a model and check the file's answers.

    The number of images and of findings is free; the images' size is the model's. Findings are asked by their
    embeddings, so that the file needs no text encoder and can be asked anything that has been embedded.

    Args:
        model: Any; it is left as it is.
        tolerance: Largest difference of a probability or gate weight from the model's own that is accepted.

    Raises:
        SettingsError: ONNX is not installed.
        UniChestError: the answers differ by more than `tolerance`.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401  (for the check, before minutes are spent on the export)
        import onnxscript  # noqa: F401  (torch's exporter is built on it)
    except ImportError as error:
        raise SettingsError(f"{EXTRA} ({error})") from error
    was_training, device = model.training, model.finding_embeddings.device
    model.eval().cpu()
    try:
        content = _exported(model)
        proto = onnx.load_model_from_string(content)
        _check_free(proto)
        difference = largest_difference(model, content)
    finally:
        model.to(device).train(was_training)
    if difference > tolerance:
        raise UniChestError(
            f"the ONNX model's answers differ from the model's by up to {difference:.1e}, more than "
            f"export.tolerance ({tolerance:g}); nothing was written"
        )
    logger.info(
        "ONNX model: %.1f MiB; its answers differ from the model's by %.1e at most.", len(content) / 2**20, difference
    )
    onnx.helper.set_model_props(proto, _about(model))
    return proto


def largest_difference(model: UniChest, content: bytes) -> float:
    """Largest difference between the answers of a model and of its ONNX file, on random images and queries.

    Args:
        model: In evaluation mode, on the CPU.
        content: Of the file.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    size, width = model.settings.image_size, model.settings.width
    largest = 0.0
    for images, findings in _TRIALS:
        picture = torch.randint(0, 256, (images, 1, size, size), generator=generator, dtype=torch.uint8)
        queries = torch.randn(findings, width, generator=generator)
        with torch.inference_mode():
            expected = Answering(model)(picture, queries)
        given = session.run(list(OUTPUTS), {"images": picture.numpy(), "queries": queries.numpy()})
        for ours, theirs in zip(expected, given):
            largest = max(largest, float(np.abs(ours.numpy() - theirs).max()))
    return largest


def describe_questions(model: UniChest, questions: Questions) -> dict[str, Any]:
    """What the ONNX model is asked with, as JSON has it: findings with their embeddings, and how films are prepared."""
    unused = "" if float(model.ratios[1]) > 0 else "; this model's answers do not use them"
    return {
        "inputs": {
            "images": f"uint8 (batch, 1, {model.settings.image_size}, {model.settings.image_size}), 0 black, 255 white",
            "queries": f"float32 (findings, {model.settings.width}), rows of `embeddings`",
        },
        "outputs": {
            "probabilities": "float32 (batch, findings), 0 to 1",
            "gate": f"float32 (batch, {model.settings.experts}), weights of the experts, sum one{unused}",
        },
        "preparation": f"shorter side to {stored_size(model)} pixels (Lanczos), then to a square (bicubic)",
        "model": model.fingerprint(),
        "findings": list(questions.findings),
        "trained": list(questions.trained),
        "embeddings": questions.queries.cpu().double().numpy().round(8).tolist(),
    }


def _exported(model: UniChest) -> bytes:
    size, width = model.settings.image_size, model.settings.width
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8), torch.zeros(3, width)
    batch, findings = torch.export.Dim("batch"), torch.export.Dim("findings")
    buffer = io.BytesIO()
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            Answering(model).eval(),
            example,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes={"images": {0: batch}, "queries": {0: findings}},
            dynamo=True,
            verbose=False,
        )
    program.save(buffer)
    return buffer.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the exporter's hundreds of lines about its own workings; its errors are raised all the same."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels):
            one.setLevel(level)


def _check_free(proto: "onnx.ModelProto") -> None:
    """Check that the number of films and of findings is free: the exporter fixes what code takes for a constant."""
    for value in proto.graph.input:
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_param:
            raise UniChestError(
                f"the ONNX model would take {first.dim_value} rows of `{value.name}` and no other number; this "
                "backbone cannot be exported as it is"
            )


def _about(model: UniChest) -> dict[str, str]:
    """What the file says of itself."""
    return {
        "model": model.fingerprint(),
        "image_size": str(model.settings.image_size),
        "stored_image_size": str(stored_size(model)),
        "findings": json.dumps(list(model.findings)),
        "note": "research use only; not a medical device",
    }
