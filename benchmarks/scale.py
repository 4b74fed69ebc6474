"""Prints the table of docs/scale.md: disk and time per epoch for 700,000 images. An estimate, not a measurement.

Counted: the operations of one step of the paper's network, forward and backward, and the bytes of what is stored.
Assumed: the share of a card's peak arithmetic that a step reaches (ResNet-50 is bound by memory; public training
figures for it on this class of card come to about a tenth), and what is lost when several cards work together. Measured
(`data.py`): the processor time of loading an image; the rest of the augmentation runs on the card.
"""

import argparse

from steps import FINDINGS, PEAK_BF16, WIDTH, Shape, operations

IMAGES, TEXTS = 700_000, 300_000
IMAGE_SIZE, LONGER_SIDE = 512, 1.2
BATCH = 32
GPUS = (1, 8, 64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.1, help="of the card's peak arithmetic that a step reaches")
    parser.add_argument("--together", type=float, default=0.9, help="of its own speed that each of several cards keeps")
    parser.add_argument("--milliseconds", type=float, default=1.5, help="of one core to read, crop and flip an image")
    options = parser.parse_args()
    store = IMAGES * IMAGE_SIZE * IMAGE_SIZE * LONGER_SIDE
    print(f"image store {store / 1e9:.0f} GB, text embeddings {TEXTS * WIDTH * 4 / 1e9:.2f} GB, ", end="")
    print(f"labels {IMAGES * FINDINGS / 1e6:.0f} MB")
    print(f"{'stage':<9}{'GFLOP/image':>12}{'images/s/GPU':>14}{'cores/GPU':>11}", end="")
    print("".join(f"{f'min/epoch on {count}':>17}" for count in GPUS))
    for stage in ("conquer", "divide"):
        each = operations(Shape(stage, IMAGE_SIZE, BATCH))[0] / BATCH
        rate = options.share * PEAK_BF16["H100"] / each
        cores = rate * options.milliseconds / 1000
        minutes = [IMAGES / rate / count / (options.together if count > 1 else 1) / 60 for count in GPUS]
        print(f"{stage:<9}{each / 1e9:>12.0f}{rate:>14.0f}{cores:>11.1f}", end="")
        print("".join(f"{value:>17.1f}" for value in minutes))


if __name__ == "__main__":
    main()
