"""The shipped parameters are valid in every environment, and every catalog entry the pipelines need exists."""

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from unichest_kedro.training.settings import ConquerSettings


@pytest.fixture(scope="module")
def root(clone, tmp_path_factory):
    return clone(tmp_path_factory.mktemp("configuration") / "project")


@pytest.mark.parametrize("env", [None, "open", "paper"])
def test_shipped_parameters_are_valid(root, env):
    bootstrap_project(root)
    with KedroSession.create(root, env=env) as session:
        parameters = session.load_context().params
    assert isinstance(parameters["conquer"], ConquerSettings)
    assert parameters["model"].width == parameters["text_encoder"].width


def test_the_paper_environment_is_the_papers(root):
    bootstrap_project(root)
    with KedroSession.create(root, env="paper") as session:
        context = session.load_context()
        model, conquer = context.params["model"], context.params["conquer"]
        data = context.config_loader["globals"]["data"]
    assert (model.backbone, model.image_size, model.width, model.layers) == ("resnet50", 512, 768, 4)
    assert (conquer.epochs, conquer.batch_size, conquer.optimiser.learning_rate) == (100, 32, 5e-5)
    assert conquer.augmentation.crop_scale == (0.2, 1.0)
    assert (conquer.augmentation.randaugment_operations, conquer.augmentation.fourier_probability) == (2, 0.5)
    assert conquer.plateau is None
    assert data == "data/paper"


def test_the_open_environment_trains_on_what_anyone_may_download(root):
    bootstrap_project(root)
    with KedroSession.create(root, env="open") as session:
        context = session.load_context()
        config = context.config_loader["globals"]
        parameters = context.params
    assert parameters["train_on"] == config["train_on"] == ["chestxray14", "open_i"]
    assert config["data"] == "data/open"
    assert parameters["imaging"].views == ("frontal", "unknown")
    base = KedroSession.create(root).load_context().params
    assert parameters["model"] == base["model"]
    assert base["train_on"] == ["mimic_cxr", "chestxray14", "chexpert", "vindr_cxr"]


def test_every_artefact_is_in_the_catalog_with_a_layer(root):
    bootstrap_project(root)
    with KedroSession.create(root) as session:
        catalog = session.load_context().catalog
        names = {n for n in pipelines["__default__"].datasets() if not n.startswith("params:") and n != "parameters"}
        without = [n for n in sorted(names) if not (getattr(catalog.get(n), "metadata", None) or {}).get("kedro-viz")]
    assert without == []


def test_every_node_explains_itself(root):
    bootstrap_project(root)
    unexplained = [node.name for node in pipelines["__default__"].nodes if not (node.func.__doc__ or "").strip()]
    assert unexplained == []
    assert all(node._name for node in pipelines["__default__"].nodes)
