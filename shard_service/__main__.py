"""`python -m shard_service`."""

from __future__ import annotations

from shard_service.main import program

program()
