"""Scores, metrics with intervals, accounting of images, figures and the HTML report."""
