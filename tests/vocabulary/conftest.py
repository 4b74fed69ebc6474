from pathlib import Path

import pytest

from unichest_kedro.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def vocabulary_file(project: Path) -> Path:
    return project / "conf/base/vocabulary.yml"


@pytest.fixture(scope="session")
def shipped(vocabulary_file: Path) -> Vocabulary:
    return Vocabulary.from_yaml(vocabulary_file)
