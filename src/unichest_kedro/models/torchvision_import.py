"""Makes `import torchvision` work where its compiled operators do not fit the installed torch.

torchvision from the package index is built against a CUDA torch. Under a CPU-only torch its compiled
operators cannot be loaded, and importing it then fails with "operator torchvision::nms does not exist",
because torchvision registers a meta kernel for that operator. timm needs torchvision for its transforms and
not for its operators, so declaring the two schemas is enough. They are declared only when that very import
error occurs: where torchvision is whole, nothing is changed. Import this module before timm.
"""

import importlib
import sys

import torch

_DETECTION_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a library's schemas live only as long as the library object


def import_torchvision() -> None:
    """Imports torchvision, declaring its two operator schemas if, and only if, they are what it lacks.

    Raises:
        RuntimeError: torchvision cannot be imported for any other reason.
        ImportError: torchvision is not installed.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare_schemas()
        _forget_partial_import()
        importlib.import_module("torchvision")


def _declare_schemas() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms" + _DETECTION_ARGUMENTS)
    library.define("qnms" + _DETECTION_ARGUMENTS)
    _declared.append(library)


def _forget_partial_import() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


import_torchvision()
