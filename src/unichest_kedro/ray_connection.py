"""A connection to Ray (extra `[ray]`), for training and for decoding films on more than one machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from unichest_kedro.errors import SettingsError


@contextmanager
def ray_connection(field: str, address: str | None, num_cpus: int) -> Iterator[None]:
    """Connects to Ray and leaves it afterwards; a connection that was there before is used and stays.

    Args:
        field: Block of the parameters that asked for Ray, for messages.
        address: Of a running cluster (`auto`: the one this machine belongs to); None starts a Ray of its own here.
        num_cpus: CPUs that a Ray of its own offers, at least; those of the machine if there are more.

    Raises:
        SettingsError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            f"{field}: this needs Ray, which is not installed. Install the extra: pip install -c requirements.lock -e "
            '".[ray]", or do without Ray'
        ) from error
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    try:
        if address is None:
            ray.init(address="local", num_cpus=max(os.cpu_count() or 1, num_cpus), include_dashboard=False)
        else:
            ray.init(address=address)
    except ConnectionError as error:
        raise SettingsError(
            f"{field}.address: there is no Ray cluster at {address!r} ({error}). Start one with `ray start --head`, "
            "give its address, or leave the address out for a Ray of its own on this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
