"""UniChest on Kedro: conquer-and-divide pre-training for multi-source chest X-ray classification."""

__version__ = "0.1.0"
