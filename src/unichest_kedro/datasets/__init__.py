"""Kedro dataset classes that kedro-datasets lacks; one class per module."""
