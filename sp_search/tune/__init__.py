"""Runs a search on Ray Tune. Ray is imported here and nowhere else."""

import os
import sys

if "ray" not in sys.modules:  # Ray reads this once, when it is imported; it listens on every interface of the machine
    os.environ.setdefault("RAY_AUTH_MODE", "token")
