"""Radiology reports: sections, sentences, entities, negation, and the text the model is trained with."""
