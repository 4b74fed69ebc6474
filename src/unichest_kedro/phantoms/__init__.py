"""The embedded phantom sources: synthetic chest films in each source's official layout."""

from unichest_kedro.phantoms.differences import SOURCES, Difference, Differences
from unichest_kedro.phantoms.make import make_phantoms
from unichest_kedro.phantoms.settings import PhantomSettings

__all__ = ["SOURCES", "Difference", "Differences", "PhantomSettings", "make_phantoms"]
