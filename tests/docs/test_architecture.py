"""The rule of the architecture page: domain packages import nothing of Kedro and nothing of the pipelines."""

import ast

MAY_IMPORT_KEDRO = {"datasets", "pipelines"}
"""Packages. Modules right below the project's package are what happens around a run: they may, and pipelines too."""


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_dependencies_go_one_way(project):
    root = project / "src/unichest_kedro"
    files = list(root.rglob("*.py"))
    assert len(files) > 100
    for path in files:
        place = path.relative_to(root).parts[0]
        for name in _imported(path):
            if name.split(".")[0] == "kedro":
                assert place in MAY_IMPORT_KEDRO or path.parent == root, f"{path}: imports {name}"
            if name.startswith("unichest_kedro.pipelines"):
                assert place == "pipelines" or path.parent == root, f"{path}: imports {name}"
