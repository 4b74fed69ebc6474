"""UniChest as a Kedro project: multi-source chest X-ray classification by Conquer and Divide."""

import os

# Before torch is loaded: threads that wait for each other are to sleep. Awake, each holds a core that another one needs
# as soon as anything else runs on the machine, and training was seen to take twenty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
