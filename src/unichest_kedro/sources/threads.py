"""Many small reads at once: reading waits for the disk or the network, not for the processor."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

THREADS = 16
ITEMS_PER_TASK = 64
"""Handing over a task costs more than reading a small file or folder."""

SILENT_SECONDS = 3
"""A progress bar appears only where there is time to read it."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_each(read: Callable[[Item], Result], items: Sequence[Item], what: str) -> Iterator[Result]:
    """Yield `read(item)` for each item, in order; `what` names the items beside the progress bar."""
    tasks = [items[start : start + ITEMS_PER_TASK] for start in range(0, len(items), ITEMS_PER_TASK)]
    progress = tqdm(total=len(items), desc=what, delay=SILENT_SECONDS, leave=False)
    with ThreadPoolExecutor(THREADS) as pool, progress:
        for results in pool.map(lambda task: [read(item) for item in task], tasks):
            progress.update(len(results))
            yield from results
