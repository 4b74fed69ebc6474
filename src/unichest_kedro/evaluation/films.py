"""What example films are told apart by."""

NOTHING_FOUND = ("normal", "No Finding")
"""Findings that say that there is nothing to see."""
