"""What ingestion costs at full scale, each in a process of its own."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, time
from pathlib import Path
from unichest_kedro.sources import IngestionSettings, ingest, list_images
start = time.process_time()
call = {"ingest": ingest, "list_images": list_images}[sys.argv[1]]
call(sys.argv[2], Path(sys.argv[3]), IngestionSettings())
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.parametrize(
    ("call", "source", "folder"),
    [("ingest", "chestxray14", "chestxray14"), ("list_images", "chexpert", "chexpert")],
)
def test_five_seconds_and_one_gibibyte(real, call, source, folder):
    arguments = [sys.executable, "-c", PROGRAM, call, source, str(real / folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    seconds, gibibytes = map(float, done.stdout.split())
    # Processor time, so that other work on the machine does not count.
    assert seconds <= 5 and gibibytes <= 1
