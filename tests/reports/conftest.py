import pytest

from unichest_kedro.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def vocabulary(project):
    """The vocabulary shipped with the project."""
    return Vocabulary.from_yaml(project / "conf" / "base" / "vocabulary.yml")
