"""The switch `compile`: the same numbers, and one sentence where there is nothing to compile with."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.mixture import QueryMixture
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.setup import check_compiler, compile_parts
from unichest_kedro.training.stages import train_divide

Make = Callable[..., Any]


def is_compiled(module: nn.Module) -> bool:
    return any(part._compiled_call_impl is not None for part in module.modules())


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modules are traced and run as the compiler gets them, without a compiler; the names of what was compiled."""
    names: list[str] = []
    original = nn.Module.compile

    def compile_quickly(module: nn.Module) -> None:
        names.append(type(module).__name__)
        original(module, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", compile_quickly)
    return names


def test_a_compiled_stage_ends_with_the_same_weights(
    model: UniChest, data: TrainingData, divide_settings: Make, tmp_path: Path, traced: list[str]
) -> None:
    plain = train_divide(model, data, divide_settings(epochs=1), tmp_path / "plain").model
    assert traced == []
    result = train_divide(model, data, divide_settings(epochs=1, compile=True), tmp_path / "compiled").model
    assert traced == ["ImageEncoder", "QueryMixture"]
    assert not is_compiled(result)
    for (name, one), other in zip(result.state_dict().items(), plain.state_dict().values()):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


def test_names_of_weights_stay(model: UniChest, traced: list[str]) -> None:
    before = list(model.state_dict())
    compile_parts(model)
    assert is_compiled(model)
    assert list(model.state_dict()) == before


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@torch.no_grad()
def test_the_compiler_gives_the_same_numbers() -> None:
    torch.manual_seed(0)
    mixture = QueryMixture(8, 1, 2, 8, 0.0, 1).eval()
    compiled = copy.deepcopy(mixture)
    compiled.compile()
    arguments = torch.randn(2, 3, 8), torch.randn(4, 8)
    asked = {"main_ratio": 1.0, "expert_ratio": 0.0, "texts": torch.randn(2, 8)}
    torch.testing.assert_close(compiled(*arguments, **asked).probabilities, mixture(*arguments, **asked).probabilities)


def test_without_a_compiler_the_run_is_refused(
    model: UniChest, data: TrainingData, divide_settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        SettingsError, match=r"compile: true needs a C\+\+ compiler, and there is no 'no-such-compiler'"
    ):
        train_divide(model, data, divide_settings(compile=True), tmp_path / "state")


def test_on_a_gpu_triton_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="compile: true needs Triton"):
        check_compiler(torch.device("cuda"))
