"""What the vocabulary file says: the page of findings, and the labels of one source for the source's own page."""

import re
from pathlib import Path

from unichest_kedro.vocabulary import Vocabulary

from .markdown import code, codes, table

HEAD = """# Findings

The findings of `conf/base/vocabulary.yml` in their order, which is that of the model's outputs. Written at each build
from that file; [what the columns mean](../vocabulary.md). Any other words can be asked of a trained model, too
([how](../predict.md#what-can-be-asked)).
"""

MARK = re.compile(r"^<!-- labels of (?P<source>\w+) -->$", re.MULTILINE)
"""Where a page wants the labels of a source."""


def read_vocabulary(root: Path) -> Vocabulary:
    """The vocabulary that the project ships."""
    return Vocabulary.from_yaml(root / "conf" / "base" / "vocabulary.yml")


def findings_page(vocabulary: Vocabulary) -> str:
    """The page of findings."""
    rows = []
    for finding in vocabulary.definitions:
        labelled = [source for source in vocabulary.sources if finding.name in vocabulary.annotated(source)]
        bound = [f"implies {name}" for name in finding.implies]
        bound += [f"union of {', '.join(finding.union_of)}"] if finding.union_of else []
        bound += ["excludes nothing"] if finding.excludes == () else []
        bound += [f"excludes {', '.join(finding.excludes)}"] if finding.excludes else []
        words = ", ".join(finding.synonyms)
        rows.append([finding.name, finding.prompt, "; ".join(bound), ", ".join(labelled), words])
    head = ["finding", "prompt", "relations", "labelled by", "words in reports, beside its name"]
    return f"{HEAD.strip()}\n\n{table(head, rows)}\n"


def fill_in(markdown: str, vocabulary: Vocabulary) -> str:
    """A page with each mark `<!-- labels of chexpert -->` replaced by what the vocabulary says of that source."""
    return MARK.sub(lambda mark: labels_of(vocabulary, mark["source"]), markdown)


def labels_of(vocabulary: Vocabulary, source: str) -> str:
    """The policies of a source and the table of its native labels.

    Raises:
        VocabularyError: the vocabulary says nothing about the source.
    """
    rules = vocabulary.rules(source)
    policies = [
        ("`uncertain`", code(rules.uncertain), _but(rules.uncertain_overrides)),
        ("`not_mentioned`", code(rules.not_mentioned), _but(rules.not_mentioned_overrides)),
        ("`readers`", code(rules.readers), ""),
        ("`no_finding_label`", codes(rules.no_finding_label) or "none", _exhaustive(rules)),
        ("`report_labels`", code(rules.report_labels), ""),
    ]
    dropped = [label for label, findings in rules.labels.items() if not findings]
    rows = [
        [label, ", ".join(findings), ", ".join(rules.leaves_open.get(label, ()))]
        for label, findings in rules.labels.items()
        if findings or label in rules.leaves_open
    ]
    head = ["native label", "finding", "leaves open"]
    if not rules.leaves_open:
        head, rows = head[:2], [row[:2] for row in rows]
    silent = [label for label in dropped if label not in rules.leaves_open]
    without = f"\n\nWithout a finding, and leaving none open: {', '.join(silent)}." if silent else ""
    return f"{table(['policy', 'value', ''], policies)}\n\n{table(head, rows)}{without}"


def _but(overrides: dict[str, str]) -> str:
    return ", ".join(f"`{value}` for {finding}" for finding, value in overrides.items())


def _exhaustive(rules: object) -> str:
    if not rules.no_finding_label:
        return ""
    words = "where present, all else that the source labels is absent" if rules.no_finding_exhaustive else ""
    return words + (f", but for {', '.join(rules.no_finding_silent_on)}" if rules.no_finding_silent_on else "")
