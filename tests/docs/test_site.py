"""The documentation builds without a warning, loads nothing from the network, and says what there is."""

import re
from html.parser import HTMLParser

import pytest
import yaml

from unichest_kedro import schemas
from unichest_kedro.sources import SOURCES
from unichest_kedro.vocabulary import Vocabulary


class _Loaded(HTMLParser):
    """Collects the addresses that a browser loads by itself when it shows a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.addresses.append(attributes.get("src"))
        if tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(attributes.get("href"))


def _codes(html):
    """The texts of all `<code>` elements of a page."""
    found = re.findall(r"<code[^>]*>(.*?)</code>", html, re.DOTALL)
    return {re.sub(r"<[^>]+>", "", text).replace("&lt;", "<").replace("&gt;", ">") for text in found}


def _leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_the_build_prints_no_warning(site):
    assert site.output.strip() == ""


def test_nothing_is_loaded_from_the_network(site):
    pages = list(site.folder.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        parser = _Loaded()
        parser.feed(path.read_text(encoding="utf-8"))
        remote = [address for address in parser.addresses if address and re.match(r"(https?:)?//", address)]
        assert not remote, f"{path.name} loads {remote}"
    for path in site.folder.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s+)[\"']?(https?:)?//", path.read_text(encoding="utf-8")), path.name


def test_no_source_code_of_the_generator_is_published(site):
    assert not list(site.folder.rglob("*.py"))


def test_every_parameter_is_in_the_reference(site, configured):
    shown = _codes(site.page("reference/parameters.html"))
    for name in _leaves(configured("parameters")):
        entry = ".".join(name.split(".")[:2])  # of a mapping whose entries are shown as a whole
        assert name in shown or entry in shown, f"{name} is not in the reference"


@pytest.mark.parametrize("name", ["conquer.optimiser.min_learning_rate", "trainer.max_failures", "model.lam_global"])
def test_parameters_that_no_file_sets_are_in_the_reference_too(site, name):
    assert name in _codes(site.page("reference/parameters.html"))


def test_a_parameter_shows_value_range_and_meaning(site):
    page = site.page("reference/parameters.html")
    row = re.search(r"<tr>\s*<td><code>ingestion\.val_fraction</code></td>.*?</tr>", page, re.DOTALL).group()
    assert "<code>0.1</code>" in row
    assert "&gt; 0, &lt; 0.5" in row
    assert "validation split where a source ships none" in row


def test_values_of_another_environment_are_shown(site):
    page = site.page("reference/parameters.html")
    row = re.search(r"<tr>\s*<td><code>model\.backbone</code></td>.*?</tr>", page, re.DOTALL).group()
    assert "<code>resnet10t</code>" in row
    assert "<code>resnet50</code>" in row


def test_every_catalog_entry_is_in_the_reference_with_its_file(site, configured):
    shown = _codes(site.page("reference/catalog.html"))
    for name, entry in configured("catalog").items():
        assert name in shown, f"{name} is not in the reference"
        if "filepath" in entry and "globals:vocabulary" not in entry["filepath"]:
            assert entry["filepath"].replace("${globals:data}", "data") in shown


def test_the_catalog_says_who_makes_and_who_reads(site):
    page = site.page("reference/catalog.html")
    row = re.search(r"<tr>\s*<td><code>\{source\}_labels</code>.*?</tr>", page, re.DOTALL).group()
    assert "<code>harmonise_labels</code>" in row
    assert "<code>join_examples</code>" in row
    assert 'href="tables.html#labels"' in row


def test_every_schema_of_the_catalog_has_its_table(site, configured):
    page = site.page("reference/tables.html")
    validators = {
        entry["validator"].rsplit(".", 1)[-1] for entry in configured("catalog").values() if "validator" in entry
    }
    assert validators
    for name in validators:
        assert f'id="{name.lower()}"' in page, f"{name} is not among the tables"
    for column in schemas.Studies.to_schema().columns:
        assert f"<code>{column}</code>" in page


def test_every_pipeline_has_a_section_with_its_nodes(site, registered):
    page = site.page("reference/pipelines.html")
    shown = _codes(page)
    for name, pipeline in registered.items():
        assert f"kedro run --pipeline={name}" in re.sub(r"<[^>]+>", "", page) or name == "__default__"
        for node in pipeline.nodes:
            assert node.name.removeprefix(f"{node.namespace}.") in shown


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_a_page(site, project, source):
    page = site.page(f"sources/{source}.html")
    for heading in (
        "Where to",
        "How to unpack it",
        "What is checked",
        "Splits, views, patients",
        "Labels",
        "Good to know",
    ):
        assert re.search(rf"<h2[^>]*>{heading}", page), f"{source} lacks {heading!r}"
    assert "&lt;!-- labels" not in page
    assert f"{source}:" in re.sub(r"<[^>]+>", "", page)  # the line of globals.yml
    rules = Vocabulary.from_yaml(project / "conf/base/vocabulary.yml").rules(source)
    for label in rules.labels:
        assert label.replace("&", "&amp;") in page, f"{source}: the label {label!r} is not shown"


def test_every_finding_is_in_the_reference(site, project):
    page = site.page("reference/findings.html")
    for finding in Vocabulary.from_yaml(project / "conf/base/vocabulary.yml").findings:
        assert f"<td>{finding}</td>" in page


def test_every_page_is_in_the_navigation(project):
    listed = re.findall(r"[\w/]+\.md", (project / "mkdocs.yml").read_text())
    for path in (project / "docs").rglob("*.md"):
        assert path.relative_to(project / "docs").as_posix() in listed


def test_the_site_needs_no_plugin_beyond_the_extra(project):
    plugins = yaml.safe_load((project / "mkdocs.yml").read_text())["plugins"]
    assert plugins == ["search"]
