"""Model folders beside the one that this project trains: what may be meant where that one is not there."""

from pathlib import Path

_FILES = ("config.json", "model.safetensors", "vocabulary.yml")


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds a model, not a text encoder alone."""
    return all((folder / name).is_file() for name in _FILES)


def others_beside(own: Path) -> str:
    """In words, the model folders that lie beside this project's own, an imported checkpoint's say; "" for none."""
    others = [str(folder) for folder in sorted(own.parent.glob("*")) if folder != own and is_model_folder(folder)]
    return f" There is a model in {' and in '.join(others)}." if others else ""
