"""`patchsearch cluster init`."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
import typer

from cluster.backup import at_addresses, read_backup
from cluster.founding import EncoderIdentity, check_new, found_cluster
from patchsearch.cli.cluster_progress import telling
from patchsearch.cli.cluster_session import opened
from patchsearch.cli.json_output import print_json
from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.wire.channel import channel_options, error_of_call
from patchsearch.wire.security import ChannelSecurity, open_plain_or_tls
from placement.changes import initial_placement
from placement.document import placement_document

_TIMEOUT_S = 30.0
_MAX_MESSAGE_MB = 64


def found(
    place: str,
    addresses: Mapping[str, str],
    *,
    partitions: int,
    replicas: int,
    encoder: str,
    backup: str,
    dry_run: bool,
    as_json: bool,
    security: ChannelSecurity,
) -> None:
    """Writes the first placement, and creates its partitions where an encoder is named.

    With a `backup` it is the backup's, an epoch later, with these addresses if any.
    """
    if backup:
        kept = read_backup(backup).placement
        placement = at_addresses(kept, addresses or kept.shards)
    else:
        placement = initial_placement(addresses, partitions=partitions, replicas=replicas)
    with opened(place, security) as session:
        if dry_run:
            check_new(session.store, placement)
            print_json(placement_document(placement))
            return
        identity = _identity(encoder, security) if encoder else None
        with telling(as_json) as tell:
            found_cluster(session.store, session.shards, placement, identity, tell)
    if as_json:
        print_json(placement_document(placement))
    else:
        typer.echo(
            f"epoch {placement.epoch}: {len(placement.partitions)} partitions on "
            f"{len(placement.shards)} shards, in {place}"
        )


def _identity(address: str, security: ChannelSecurity) -> EncoderIdentity:
    options = list(channel_options(_MAX_MESSAGE_MB))
    with open_plain_or_tls(address, security, options) as channel:
        try:
            told = EncoderServiceStub(channel).GetEncoder(
                encoder_service_pb2.GetEncoderRequest(),
                timeout=_TIMEOUT_S,
                metadata=tuple(security.metadata()),
            )
        except grpc.RpcError as error:
            raise error_of_call(error, address, _TIMEOUT_S) from error
    return EncoderIdentity(told.name, told.fingerprint, told.dim)
