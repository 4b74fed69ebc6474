"""The shim acts on the one import error it is for, and on no other."""

import importlib
import sys
from types import ModuleType

import pytest
import torch

from unichest_kedro.models import torchvision_import


def test_torchvision_can_be_imported() -> None:
    import torchvision.transforms

    assert torchvision.transforms.Resize(4)(torch.zeros(1, 8, 8)).shape == (1, 4, 4)


def test_missing_operator_is_declared_and_import_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def fail_once(name: str) -> ModuleType:
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        return sys.modules[__name__]

    monkeypatch.setattr(importlib, "import_module", fail_once)
    monkeypatch.setattr(torchvision_import, "_forget_partial_import", lambda: None)
    monkeypatch.setattr(torchvision_import, "_declare_schemas", lambda: calls.append("declared"))
    torchvision_import.import_torchvision()
    assert calls == ["torchvision", "declared", "torchvision"]


def test_other_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> ModuleType:
        raise RuntimeError("something else")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision_import.import_torchvision()
