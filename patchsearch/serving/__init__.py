"""The embedded deployment: encoder, shards and router as child processes over one directory."""

from __future__ import annotations

from patchsearch.serving.child import RestartPolicy
from patchsearch.serving.cluster import EmbeddedCluster
from patchsearch.serving.command import serve
from patchsearch.serving.directory import running_address
from patchsearch.serving.programs import Programs

__all__ = ["EmbeddedCluster", "Programs", "RestartPolicy", "running_address", "serve"]
