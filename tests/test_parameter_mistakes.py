"""A wrong parameter is one sentence: which, where it is said, its value, what is allowed."""

from collections.abc import Sequence
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from unichest_kedro.parameter_mistakes import find_mistakes, in_one_message, types_of_parameters


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rate: float = Field(default=0.1, gt=0, lt=1)
    crop: tuple[float, float] = (0.5, 1.0)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    epochs: int = Field(ge=1)
    device: Literal["auto", "cpu"] = "auto"
    gpu: bool | Literal["auto"] = "auto"
    inner: Inner = Inner()
    maybe: Inner | None = None
    by_name: dict[str, Inner] = Field(default_factory=dict)
    names: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _rising(self):
        if self.low > self.high:
            raise ValueError(f"low is {self.low}; allowed is at most high {self.high}")
        return self


WANTED = {"outer": Outer, "seed": int, "train_on": Sequence[str], "model.width": int}
GOOD = {"outer": {"epochs": 3}, "seed": 1, "train_on": ["a"], "model": {"width": 8}}


def mistakes(**changes):
    return find_mistakes(GOOD | changes, WANTED, lambda name: "here.yml")


def test_what_is_right_has_no_mistake():
    assert mistakes() == []
    assert mistakes(outer={"epochs": 1, "gpu": True, "maybe": {"rate": 0.5}, "by_name": {"x": {}}}, _anchor=3) == []


@pytest.mark.parametrize(
    ("outer", "sentence"),
    [
        ({"epochs": -3}, "outer.epochs is -3 (here.yml): it must be at least 1."),
        ({"epochs": "many"}, "outer.epochs is 'many' (here.yml): it must be a whole number."),
        ({"epochs": 2.5}, "outer.epochs is 2.5 (here.yml): it must be a whole number."),
        ({"epochs": None}, "outer.epochs is empty (here.yml): it must be a whole number."),
        ({}, "outer.epochs (here.yml): it is missing and has no default."),
        ({"epochs": 1, "device": "tpu"}, "outer.device is 'tpu' (here.yml): it must be 'auto' or 'cpu'."),
        ({"epochs": 1, "gpu": "yea"}, "outer.gpu is 'yea' (here.yml): it must be true or false or 'auto'."),
        ({"epochs": 1, "inner": {"rate": 1}}, "outer.inner.rate is 1 (here.yml): it must be less than 1."),
        ({"epochs": 1, "inner": {"rate": 0}}, "outer.inner.rate is 0 (here.yml): it must be more than 0."),
        ({"epochs": 1, "maybe": {"rate": "x"}}, "outer.maybe.rate is 'x' (here.yml): it must be a number."),
        ({"epochs": 1, "names": "a"}, "outer.names is 'a' (here.yml): it must be a list, such as [a, b]."),
        ({"epochs": 1, "names": ["a", ""]}, "outer.names.1 is '' (here.yml): it must have at least 1 characters."),
        ({"epochs": 1, "low": 2}, "outer (here.yml): low is 2.0; allowed is at most high 1.0."),
        ({"epoch": 1, "epochs": 1}, "outer.epoch (here.yml) is no setting: did you mean outer.epochs?"),
        (
            {"epochs": 1, "maybe": {"rates": 1}},
            "outer.maybe.rates (here.yml) is no setting: did you mean outer.maybe.rate?",
        ),
        (
            {"epochs": 1, "by_name": {"x": {"crops": 1}}},
            "outer.by_name.x.crops (here.yml) is no setting: did you mean outer.by_name.x.crop?",
        ),
        ({"epochs": 1, "inner": {"zzz": 1}}, "outer.inner.zzz (here.yml) is no setting: there is crop, rate."),
        ("all", "outer is 'all' (here.yml): it must be a mapping of names to values."),
    ],
)
def test_each_kind_of_mistake_is_one_sentence(outer, sentence):
    assert mistakes(outer=outer) == [sentence]


def test_parameters_that_are_no_model_are_checked_too():
    assert mistakes(seed="abc", train_on="chexpert") == [
        "seed is 'abc' (here.yml): it must be a whole number.",
        "train_on is 'chexpert' (here.yml): it must be a list, such as [a, b].",
    ]
    assert mistakes(model={"width": "wide"}) == ["model.width is 'wide' (here.yml): it must be a whole number."]


def test_a_misspelt_block_is_named_with_the_one_that_was_meant():
    assert mistakes(outter={"epochs": 1}) == ["outter (here.yml) is no setting: did you mean outer?"]


def test_where_names_of_the_users_own_are_allowed_only_misspelt_ones_are_mistakes():
    assert find_mistakes(GOOD | {"where": 1}, WANTED, lambda name: "", own_names=True) == []
    assert find_mistakes({"trainon": ["a"]}, WANTED, lambda name: "", own_names=True) == [
        "trainon is no setting: did you mean train_on?"
    ]


def test_a_long_value_is_cut():
    (sentence,) = mistakes(outer={"epochs": "x" * 500})
    assert len(sentence) < 140


def test_several_mistakes_are_listed():
    found = mistakes(outer={"epochs": 0, "device": 1}, seed=None)
    assert len(found) == 3
    message = in_one_message(found, "Look there.")
    assert message.startswith("3 settings are wrong:\n- ")
    assert message.endswith("\nLook there.")
    assert in_one_message(found[:1], "Look there.") == f"{found[0]}\nLook there."


def test_types_come_from_the_functions_that_take_the_parameters():
    def first(table: list, settings: Outer, seed: int, **tables: int) -> None: ...

    def second(seed, names: Sequence[str]) -> None: ...

    nodes = [(second, ["params:seed", "params:train_on"]), (first, ["x", "params:outer", "params:seed", "y", "z"])]
    assert types_of_parameters(nodes) == {"seed": int, "train_on": Sequence[str], "outer": Outer}
