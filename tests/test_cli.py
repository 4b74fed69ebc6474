"""What the command names and is not there: the message says what was probably meant, or what there is."""

import pytest
from kedro.pipeline import Node, Pipeline

from unichest_kedro import cli


def _same(table: object) -> object:
    return table


@pytest.fixture(autouse=True)
def pipelines(monkeypatch):
    find = Node(_same, "leakage_pairs", "leaked_films", name="find_leaks", tags=["leakage"])
    read = Node(_same, "chexpert_root", "chexpert_studies", name="ingest", namespace="chexpert", tags=["ingest"])
    monkeypatch.setattr(cli, "pipelines", {"leakage": Pipeline([find]), "ingest": Pipeline([read])})


@pytest.mark.parametrize(
    ("kedros", "ours"),
    [
        (
            "Failed to find the pipeline named 'leakige'. It needs to be generated and returned by ...",
            "Failed to find the pipeline named 'leakige'. Did you mean leakage? Pipelines: leakage, ingest.",
        ),
        (
            "Failed to find the pipeline named 'nonsense'. It needs to be ...",
            "Failed to find the pipeline named 'nonsense'. Pipelines: leakage, ingest.",
        ),
        (
            "Pipeline does not contain nodes named ['find_leak'].",
            "Pipeline does not contain nodes named ['find_leak']. Did you mean find_leaks? "
            "`kedro registry describe` lists the nodes of a pipeline.",
        ),
        (
            "Pipeline does not contain nodes with the following namespaces: ['chexprt']",
            "Pipeline does not contain nodes with the following namespaces: ['chexprt']. Did you mean chexpert? "
            "Namespaces are the active sources: chexpert.",
        ),
        (
            "Pipeline does not contain datasets named ['leaked_film']",
            "Pipeline does not contain datasets named ['leaked_film']. Did you mean leaked_films? "
            "`kedro catalog describe-datasets` lists them by pipeline.",
        ),
        (
            "Pipeline contains no nodes after applying all provided filters. Please ensure that ...",
            "Pipeline contains no nodes after applying all provided filters. Tags: ingest, leakage; "
            "`kedro registry describe` lists the nodes of a pipeline.",
        ),
    ],
)
def test_what_a_command_names_and_is_not_there_is_said_with_what_is(kedros, ours):
    error = ValueError(kedros)
    assert cli.user_error(error) is error
    assert cli._in_words(error) == ours


def test_other_messages_stay_as_they_are():
    assert cli._in_words(ValueError("labels hold 3. It must be 1, 0 or -1")) == "labels hold 3. It must be 1, 0 or -1"
