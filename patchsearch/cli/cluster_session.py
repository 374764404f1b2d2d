"""What every `patchsearch cluster` command does: open, plan, show, carry out, tell."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

import typer

from cluster.operator import Operator
from cluster.plan import Plan
from cluster.planning import Planner
from cluster.shards import Shards, connect_shards
from patchsearch.cli.cluster_output import plain_outcome, plain_plan, print_outcome, print_plan
from patchsearch.cli.cluster_progress import telling
from patchsearch.cli.json_output import print_json
from patchsearch.wire.security import ChannelSecurity
from placement.opening import open_placement_store
from placement.store import PlacementStore


@dataclass(frozen=True, slots=True)
class Session:
    """An open placement store and connections to its shards."""

    store: PlacementStore
    shards: Shards
    operator: Operator


@contextmanager
def opened(
    placement: str, security: ChannelSecurity, rate_mb_s: float | None = None
) -> Iterator[Session]:
    """Opens a session and closes it in the end; raises what `open_placement_store` raises."""
    with (
        closing(open_placement_store(placement)) as store,
        closing(connect_shards(security)) as shards,
    ):
        rate = {} if rate_mb_s is None else {"rate_mb_s": rate_mb_s}
        yield Session(store, shards, Operator(store, shards, **rate))


def planned_and_done(
    placement: str,
    security: ChannelSecurity,
    make: Callable[[Planner], Plan],
    *,
    besides: Mapping[str, str] | None = None,
    dry_run: bool,
    as_json: bool,
    rate_mb_s: float | None,
) -> None:
    """Makes a plan, shows it, and carries it out unless it is a dry run."""
    with opened(placement, security, rate_mb_s) as session:
        plan = session.operator.plan(make, besides)
        if not as_json:
            print_plan(plan, dry_run=dry_run)
            sys.stdout.flush()
        if dry_run or plan.empty:
            if as_json:
                print_json({"plan": plain_plan(plan)})
            return
        with telling(as_json) as tell:
            outcome = session.operator.carry_out(plan, tell)
    if as_json:
        print_json({"plan": plain_plan(plan), "outcome": plain_outcome(outcome)})
    else:
        print_outcome(outcome)
    if outcome.left_undone:
        raise typer.Exit(1)
