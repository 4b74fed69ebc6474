"""Where a model runs."""

import torch


def pick_device(name: str) -> torch.device:
    """Return the device a setting asks for.

    Args:
        name: "cpu", or "auto" for a GPU where there is one.
    """
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else "cpu")


def has_bf16_units(device: torch.device) -> bool:
    """Whether a device multiplies bf16 numbers in hardware: a GPU that says so, a processor with AMX.

    Without such units bf16 is not only less exact but slower: thirty times on some processors.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
