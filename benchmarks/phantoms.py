"""Prints how many phantom films a second are drawn and written, for each source, at 128 px."""

import argparse
import tempfile
import time
from pathlib import Path

from unichest_kedro.phantoms import SOURCES, PhantomSettings, make_phantoms


def main() -> None:
    """Draw every source once and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    settings = PhantomSettings(
        images_per_source=arguments.images, scored_images=arguments.images, image_size=arguments.size
    )
    print(f"{'source':<14}{'images/s':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            start = time.perf_counter()
            make_phantoms(source, Path(folder) / source, settings)
            films = settings.images_of(source)
            print(f"{source:<14}{films / (time.perf_counter() - start):>10.0f}", flush=True)


if __name__ == "__main__":
    main()
