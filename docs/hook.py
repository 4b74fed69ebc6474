"""The hook of MkDocs that writes the reference: its pages exist only while the site is built.

`conf/README.md` becomes one of them, so that it stands in the folder that it is about and on the site, too.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference_pages.catalog import catalog_page, tables_page
from reference_pages.findings import fill_in, findings_page, read_vocabulary
from reference_pages.parameters import parameters_page
from reference_pages.pipelines import pipelines_page
from reference_pages.project import read_project


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference, written from the code as it is now."""
    root = _root(config)
    project = read_project(root)
    pages = {
        "configuration": (root / "conf" / "README.md").read_text(encoding="utf-8"),
        "parameters": parameters_page(project),
        "catalog": catalog_page(project),
        "tables": tables_page(project),
        "pipelines": pipelines_page(project),
        "findings": findings_page(read_vocabulary(root)),
    }
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the labels of a source where its page has the mark for them."""
    return fill_in(markdown, read_vocabulary(_root(config)))


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
