"""From photos on a disk to a collection: find them, read them ahead, send them, tell the progress.

`find_photos` and `Manifest` give `PhotoSource`s; `run_ingest` stores them through a
`patchsearch.Client`, `run_ingest_on_ray` by workers of a Ray cluster.
"""

from ingest.failures import FailureLog
from ingest.manifest import Manifest
from ingest.progress import Progress
from ingest.ray_runner import RayOptions, run_ingest_on_ray
from ingest.run import Summary, run_ingest
from ingest.sources import PHOTO_SUFFIXES, PhotoSource, find_photos

__all__ = [
    "PHOTO_SUFFIXES",
    "FailureLog",
    "Manifest",
    "PhotoSource",
    "Progress",
    "RayOptions",
    "Summary",
    "find_photos",
    "run_ingest",
    "run_ingest_on_ray",
]
