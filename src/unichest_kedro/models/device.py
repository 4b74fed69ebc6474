"""Where a model runs."""

import torch


def pick_device(name: str) -> torch.device:
    """Return the device a setting asks for.

    Args:
        name: "cpu", or "auto" for a GPU where there is one.
    """
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else "cpu")
