"""How fast reports are read on one core, and in how much memory: `python benchmarks/reports.py [folder of Open-I]`.

Speed: every Open-I report once (real ones where the folder is given or beside the project, else written ones), in
processor time, so that other programs do not count. Memory: 300,000 reports from a generator, none of them like
another (numbers are put into some sentences of each), with the highest memory of the process before and after.
"""

import argparse
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unichest_kedro.reports.labels import labels_of_mentions
from unichest_kedro.reports.mentions import read_mentions
from unichest_kedro.sources.open_i import read_reports_table
from unichest_kedro.vocabulary import Vocabulary

PROJECT = Path(__file__).resolve().parents[1]
REAL = PROJECT.parent / "shared" / "real" / "open_i"
WRITTEN = [
    "FINDINGS: The heart is mildly enlarged. There is a small left effusion with atelectasis. No pneumothorax.\n\n"
    "IMPRESSION: Small left pleural effusion. Mild cardiomegaly.",
    "FINDINGS: The lungs are clear. Heart size is normal. No effusion or pneumothorax is seen.\n\n"
    "IMPRESSION: No acute cardiopulmonary process.",
    "IMPRESSION: Patchy right basilar opacity may represent pneumonia versus aspiration. Recommend follow-up.",
]
TARGET = 1500


def main() -> None:
    """Print reports per second and the memory of reading many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=REAL, help="an Open-I folder")
    parser.add_argument("--reports", type=int, default=300_000, help="reports for the memory part")
    options = parser.parse_args()
    real = options.folder.exists()
    texts = read_reports_table(options.folder)["report"].tolist() if real else WRITTEN * 700
    vocabulary = Vocabulary.from_yaml(PROJECT / "conf" / "base" / "vocabulary.yml")
    _speed(texts, vocabulary, "real Open-I reports" if real else "written reports")
    _memory(texts, vocabulary, options.reports)


def _speed(texts: list[str], vocabulary: Vocabulary, what: str) -> None:
    for name, some in ((what, texts), ("of them, no sentence twice", list(_changed(texts, len(texts), share=1)))):
        start = time.process_time()
        mentions = read_mentions(enumerate(some), vocabulary.synonyms, progress=False)
        labels_of_mentions(mentions, np.arange(len(some)), vocabulary)
        rate = len(some) / (time.process_time() - start)
        print(f"{len(some):,} {name}: {rate:,.0f} a second on one core (aim: {TARGET:,})")


def _memory(texts: list[str], vocabulary: Vocabulary, count: int) -> None:
    before = _peak_mib()
    start = time.process_time()
    mentions = read_mentions(enumerate(_changed(texts, count, share=0.1)), vocabulary.synonyms, progress=False)
    read = _peak_mib()
    labels = labels_of_mentions(mentions, np.arange(count), vocabulary)
    seconds = time.process_time() - start
    print(
        f"{count:,} reports, all different: {len(mentions):,} mentions in {seconds:,.0f} s; memory {before:,.0f} MiB "
        f"before, {read:,.0f} MiB with the mentions, {_peak_mib():,.0f} MiB with {labels.shape[1]} labels of each"
    )


def _changed(texts: list[str], count: int, share: float) -> Iterator[str]:
    """Yield `count` reports, each with a number of its own in this share of its sentences, and at least in one."""
    chance = random.Random(0)
    for number in range(count):
        sentences = texts[number % len(texts)].split(". ")
        changed = max(1, round(share * len(sentences)))
        for place in chance.sample(range(len(sentences)), changed):
            sentences[place] = f"{sentences[place]} in image {number}-{place}"
        yield ". ".join(sentences)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
