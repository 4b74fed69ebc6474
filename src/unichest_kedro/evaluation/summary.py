"""The short tables that a run ends with."""

import pandas as pd

from unichest_kedro.evaluation.formats import area
from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.evaluation.style import source_title

HEADINGS = {True: "Test AUROC", False: "Zero-shot AUROC"}


def summary_text(headline: pd.DataFrame, titles: dict[str, str], *notes: str) -> str:
    """A row per model: macro AUROC of each benchmark and their mean.

    Benchmarks of sources that were trained on and zero-shot ones have a table each; those that count in no mean are
    left to the report.

    Args:
        headline: `model, benchmark, in_domain, in_mean, auroc, ...`.
        titles: Title of each benchmark.
        notes: Lines to stand below, such as that the sources are phantoms.
    """
    shown = headline[headline["in_mean"]]
    tables = [
        _plain_table(shown[shown["in_domain"] == kind], HEADINGS[kind], MEANS[kind], titles)
        for kind in (True, False)
        if (shown["in_domain"] == kind).any()
    ]
    return "\n\n".join(tables) + "".join(f"\n{note}" for note in notes if note)


def leaked_in_words(test_films: pd.DataFrame, leave_out_leaked: bool) -> str:
    """One sentence on the test films that training has seen: how many, of which sources, and what is done.

    Args:
        test_films: `leaks.count_test_films`.
        leave_out_leaked: Whether they are left out.
    """
    some = test_films[test_films["leaked"] > 0]
    if some.empty:
        return "No test film was found among the films trained on."
    count, films = int(some["leaked"].sum()), int(test_films["films"].sum())
    of_each = ", ".join(f"{source_title(source)} {leaked:,}" for source, leaked in zip(some["source"], some["leaked"]))
    done = "left out" if leave_out_leaked else "NOT left out, so that these numbers are too high"
    verb = "is" if count == 1 else "are"
    return f"{count:,} of {films:,} test films {verb} also among the films trained on ({of_each}): {done}."


def not_judged_in_words(benchmark_table: pd.DataFrame) -> str:
    """One sentence on the benchmarks of which nothing is left to judge by; "" where there is none.

    Args:
        benchmark_table: `BenchmarkTable`.
    """
    titles = benchmark_table.loc[benchmark_table["films"] == 0, "title"]
    return f"Not judged: {'; '.join(titles)}. The report says why." if len(titles) else ""


def _plain_table(headline: pd.DataFrame, heading: str, mean: str, titles: dict[str, str]) -> str:
    wide = headline.pivot(index="model", columns="benchmark", values="auroc")
    models, benchmarks = list(headline["model"].unique()), list(headline["benchmark"].unique())
    benchmarks = [name for name in benchmarks if name != mean] + [name for name in benchmarks if name == mean]
    names = ["mean" if name == mean else titles.get(name, source_title(name)) for name in benchmarks]
    rows = [[heading, *names], *([model, *(area(wide.loc[model, name]) for name in benchmarks)] for model in models)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)
