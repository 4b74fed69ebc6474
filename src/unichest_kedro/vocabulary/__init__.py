"""The unified vocabulary and the rules that map each source's labels into it."""

from unichest_kedro.vocabulary.coverage import coverage
from unichest_kedro.vocabulary.harmonise import harmonise
from unichest_kedro.vocabulary.vocabulary import Finding, SourceRules, Vocabulary, load_vocabulary

__all__ = ["Finding", "SourceRules", "Vocabulary", "coverage", "harmonise", "load_vocabulary"]
