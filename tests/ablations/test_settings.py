"""Variants as data: what a user may write, and what is refused by name."""

import pytest
import yaml
from pydantic import ValidationError

from unichest_kedro.ablations.plan import plan
from unichest_kedro.ablations.settings import AblationSettings, merged
from unichest_kedro.errors import SettingsError

CONQUER = {"name": "conquer", "title": "Conquer", "stage": "conquer"}
DIVIDE = {"name": "divide", "title": "Divide", "stage": "divide", "start": "conquer", "against": ["conquer"]}


def settings(*variants, **others):
    return AblationSettings.model_validate({"seeds": [1], "variants": [CONQUER, DIVIDE, *variants]} | others)


def variant(**values):
    return DIVIDE | {"name": "other"} | values


def test_the_shipped_variants_are_what_the_comparison_needs(project):
    shipped = yaml.safe_load((project / "conf/base/parameters_ablation.yml").read_text())["ablation"]
    checked = AblationSettings.model_validate(shipped)
    names = {one.name for one in checked.variants}
    assert {"alone", "conquer", "continued", "main_only", "divide", "oracle", "conquer_no_fourier", "k1"} <= names
    assert set(checked.variant("divide").against) == {"conquer", "continued", "main_only", "alone"}
    assert checked.change["conquer"]["augmentation"]["fourier_probability"] > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (variant(start="nothing"), "start 'nothing' is no variant before it"),
        (variant(start=None), "every other stage needs `start`"),
        (CONQUER | {"name": "other", "start": "divide"}, "stage conquer starts from nothing"),
        (variant(against=["conqeur"]), "there is no variant 'conqeur'; there are conquer, divide, other"),
        (variant(name="divide"), "divide stands twice"),
        (variant(stage="score"), "`ratios` belong to stage score"),
        (variant(stage="score", ratios=[0.5, 0.6]), "must sum to 1"),
        (variant(each_source=True), "`each_source` is for stage conquer"),
        (variant(change={"model": {"width": 32}}), "model.width cannot differ"),
        (variant(change={"training": {}}), "change.training"),
    ],
)
def test_a_wrong_variant_is_named(wrong, message):
    with pytest.raises(ValidationError, match=message):
        settings(wrong)


def test_no_variant_starts_from_one_that_is_several_models():
    alone = CONQUER | {"name": "alone", "each_source": True}
    with pytest.raises(ValidationError, match="'alone' is not one model but one for every source"):
        settings(alone, variant(start="alone"))


@pytest.mark.parametrize("others", [{"seeds": [1, 1]}, {"seeds": []}, {"only": ["x"]}, {"prompt": "{finding}"}])
def test_wrong_settings_are_refused(others):
    with pytest.raises(ValidationError):
        settings(**others)


def test_only_brings_all_that_is_needed():
    others = [variant(), variant(name="third", against=["divide"])]
    assert [one.name for one in settings(*others, only=["third"]).wanted()] == ["conquer", "divide", "third"]
    assert len(settings(*others).wanted()) == 4


def test_merging_changes_neither_argument():
    first = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(first, {"a": {"b": 5}, "e": 6}) == {"a": {"b": 5, "c": 2}, "d": 3, "e": 6}
    assert first == {"a": {"b": 1, "c": 2}, "d": 3}


def test_every_model_has_its_own_settings(shared):
    oracle = variant(name="oracle", change={"divide": {"gate": "oracle"}})
    alone = CONQUER | {"name": "alone", "each_source": True, "change": {"conquer": {"epochs": 9}}}
    change = {"conquer": {"augmentation": {"fourier_probability": 0.5}}}
    parts = plan(settings(oracle, alone, seeds=[1, 2], change=change), shared, list("abcd"))
    assert [part.name for part in parts if part.seed == 2] == [
        "conquer", "divide", "oracle", "alone_a", "alone_b", "alone_c", "alone_d",
    ]  # fmt: skip
    by_name = {(part.name, part.seed): part for part in parts}
    assert by_name["divide", 2].start is by_name["conquer", 2]
    assert by_name["conquer", 2].settings.conquer.seed == 2
    assert by_name["conquer", 2].settings.conquer.augmentation.fourier_probability == 0.5
    assert by_name["conquer", 2].settings.conquer.optimiser.learning_rate == 1e-3  # the rest stays
    assert by_name["alone_b", 1].sources == ("b",)
    assert by_name["alone_b", 1].settings.conquer.epochs == 9
    assert by_name["divide", 1].settings.model.experts == 3
    assert by_name["oracle", 1].settings.model.experts == 4  # one for every source
    assert by_name["oracle", 1].is_oracle
    assert not by_name["divide", 1].is_oracle


def test_a_wrong_change_is_named(shared):
    wrong = variant(change={"divide": {"main_ratio": 0.9}})
    with pytest.raises(SettingsError, match=r"ablation: other: divide.*main_ratio 0.9 and expert_ratio 0.5"):
        plan(settings(wrong), shared, ["a", "b"])
