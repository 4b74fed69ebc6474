"""Pixels: decoding films to 8-bit grey, the store that keeps them, and augmentation."""
