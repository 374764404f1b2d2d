"""`@changes_cluster`: a command says what to change; options, plan and execution are the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

from patchsearch.cli.cluster_options import DryRun, PlacementPlace, Rate, check_installed
from patchsearch.cli.connection import calls_server
from patchsearch.cli.options import AsJson
from patchsearch.wire.security import ChannelSecurity

if TYPE_CHECKING:
    from cluster.plan import Plan
    from cluster.planning import Planner


@dataclass(frozen=True)
class Change:
    """How the plan is made, and the addresses of shards that the placement does not name yet."""

    plan: Callable[[Planner], Plan]
    newcomers: Mapping[str, str] = field(default_factory=dict)


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


_SHARED = (
    _option("placement", PlacementPlace, inspect.Parameter.empty),
    _option("dry_run", DryRun, False),
    _option("rate_mb_s", Rate, None),
    _option("as_json", AsJson, False),
    _option("security", ChannelSecurity, inspect.Parameter.empty),
)


def changes_cluster(command: Callable[..., Change]) -> Callable[..., None]:
    """The command that plans the change, shows the plan, and carries it out.

    `@changes_cluster def move(partition: ...) -> Change`: on the command line stand --placement,
    --dry-run, --rate-mb-s, --json and the options of the connection besides its own.
    """

    @wraps(command)
    def carried_out(
        *,
        placement: str,
        dry_run: bool,
        rate_mb_s: float | None,
        as_json: bool,
        security: ChannelSecurity,
        **own: Any,
    ) -> None:
        change = command(**own)
        check_installed()
        from patchsearch.cli.cluster_session import planned_and_done

        planned_and_done(
            placement,
            security,
            change.plan,
            besides=change.newcomers,
            dry_run=dry_run,
            as_json=as_json,
            rate_mb_s=rate_mb_s,
        )

    own = inspect.signature(command, eval_str=True).parameters.values()
    carried_out.__signature__ = inspect.Signature([*own, *_SHARED])  # type: ignore[attr-defined]
    return calls_server(carried_out)
