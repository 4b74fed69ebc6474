"""The unified vocabulary and the rules that map each source's labels into it."""

from unichest_kedro.vocabulary.coverage import coverage, teachers
from unichest_kedro.vocabulary.harmonise import Harmonised, harmonise, no_contradictions
from unichest_kedro.vocabulary.relations import Relations
from unichest_kedro.vocabulary.vocabulary import Finding, SourceRules, Vocabulary, load_vocabulary, read_yaml

__all__ = [
    "Finding",
    "Harmonised",
    "Relations",
    "SourceRules",
    "Vocabulary",
    "coverage",
    "harmonise",
    "load_vocabulary",
    "no_contradictions",
    "read_yaml",
    "teachers",
]
