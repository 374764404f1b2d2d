"""`patchsearch cluster status`, once or as a live table."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cluster.status import ClusterStatus, cluster_status
from patchsearch.cli.cluster_output import print_status, status_view
from patchsearch.cli.cluster_session import Session, opened
from patchsearch.cli.json_output import plain, print_json
from patchsearch.errors import PatchsearchError
from patchsearch.wire.security import ChannelSecurity


def show_status(
    placement: str, security: ChannelSecurity, *, watch: bool, every_s: float, as_json: bool
) -> bool:
    """Prints the state; with `watch` again and again until interrupted. Whether all is well."""
    with opened(placement, security) as session:
        status = _look(session)
        if not watch:
            if as_json:
                print_json({**plain(status), "well": status.well})
            else:
                print_status(status)
            return status.well
        if as_json:
            return _stream(session, status, every_s)
        return _live(session, status, every_s)


def _look(session: Session) -> ClusterStatus:
    return cluster_status(session.operator.survey())


def _stream(session: Session, status: ClusterStatus, every_s: float) -> bool:
    """One JSON object a line."""
    try:
        while True:
            print_json({**plain(status), "well": status.well}, indent=None)
            time.sleep(every_s)
            status = _look(session)
    except KeyboardInterrupt:
        return status.well


def _live(session: Session, status: ClusterStatus, every_s: float) -> bool:
    with Live(status_view(status), console=Console(), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(every_s)
                try:
                    status = _look(session)
                except PatchsearchError as error:
                    # The store may be back at the next look.
                    live.update(Text(str(error), "red"), refresh=True)
                    continue
                live.update(status_view(status), refresh=True)
        except KeyboardInterrupt:
            return status.well
