"""Ablations: what each part of the method is worth, against the right control, over several seeds."""
