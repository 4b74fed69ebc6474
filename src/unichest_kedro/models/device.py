"""Where a model runs."""

import torch


def pick_device(name: str) -> torch.device:
    """Return the device a setting asks for.

    Args:
        name: "cpu", or "auto" for a GPU where there is one.
    """
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else "cpu")


def has_bf16_units(device: torch.device, processor_units: tuple[str, ...] = ("amx_bf16",)) -> bool:
    """Whether a device multiplies bf16 numbers in hardware: a GPU that says so, a processor with AMX.

    Without such units bf16 is not only less exact but slower: thirty times on some processors.

    Args:
        device: The device.
        processor_units: Any of these makes a processor able, by torch's names for them.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return any(able.get(units, False) for units in processor_units)
