"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from patchsearch.wire.channel import DEFAULT_ADDRESS

Address = Annotated[
    str,
    typer.Option(envvar="PATCHSEARCH_ADDRESS", help="host:port of the router; more with commas"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]
TimeoutS = Annotated[float, typer.Option("--timeout", min=0.001, help="seconds to wait")]

__all__ = ["DEFAULT_ADDRESS", "Address", "AsJson", "TimeoutS"]
