"""The page of the pipelines: what each runs, in which order, with what it needs and makes."""

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from .markdown import code, codes, first_line, table
from .project import Project

HEAD = """# Pipelines

Every registered pipeline with its nodes in the order in which they run. Written at each build from the code. A node
marked *per source* is there once for each active source, in the source's namespace (`kedro run --namespaces=chexpert`).
`{source}` stands for its key.
"""

DEFAULT = "__default__"


def pipelines_page(project: Project) -> str:
    """The whole page."""
    return "\n\n".join([HEAD.strip(), *(_section(project, name) for name in project.pipelines)]) + "\n"


def _section(project: Project, name: str) -> str:
    pipeline = project.pipelines[name]
    command = "kedro run" if name == DEFAULT else f"kedro run --pipeline={name}"
    parts = [f"## {'The default' if name == DEFAULT else name}", f"```bash\n{command}\n```"]
    whole = [other for other in project.pipelines if other != name and _holds(pipeline, project.pipelines[other])]
    largest = [
        other
        for other in whole
        if not any(other != larger and _holds(project.pipelines[larger], project.pipelines[other]) for larger in whole)
    ]
    if largest:
        parts.append("Runs " + ", ".join(f"[{other}](#{other})" for other in largest) + ".")
    own = [node for node in pipeline.nodes if not any(node in project.pipelines[other].nodes for other in largest)]
    if own:
        parts.append(table(["node", "what it does", "reads", "makes"], _rows(project, own)))
    return "\n\n".join(parts)


def _holds(pipeline: Pipeline, part: Pipeline) -> bool:
    """Whether all nodes of a smaller pipeline are in a larger one."""
    return 0 < len(part.nodes) < len(pipeline.nodes) and set(part.nodes) <= set(pipeline.nodes)


def _rows(project: Project, nodes: list[Node]) -> list[list[str]]:
    rows: dict[str, list[str]] = {}
    for node in nodes:
        name = project.without_source(node)
        shown = code(name) + (" *per source*" if name != node.name else "")
        reads, makes = (_entries(project, datasets) for datasets in (node.inputs, node.outputs))
        rows.setdefault(name, [shown, first_line(node.func), codes(reads), codes(makes)])
    return list(rows.values())


def _entries(project: Project, datasets: list[str]) -> list[str]:
    """The names of datasets, each once; those that every source has of its own by their pattern."""
    entries = {name: project.entry_of(name) or "" for name in datasets}
    return list(dict.fromkeys(entry if "{source}" in entry else name for name, entry in entries.items()))
