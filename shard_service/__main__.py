"""`python -m shard_service`."""

from __future__ import annotations

import sys

from shard_service.main import main

sys.exit(main())
