"""Who may call what: the least role for every call of every service."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Role(enum.Enum):
    """What a caller is trusted with. READER < WRITER < ADMIN; SERVICE stands apart."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"
    SERVICE = "service"
    """A program of the cluster, or an operator's tool: for the calls between services only."""

    def covers(self, needed: Role) -> bool:
        """Whether a caller of this role may do what `needed` is the least role for."""
        if Role.SERVICE in (self, needed):
            return self is needed
        order = (Role.READER, Role.WRITER, Role.ADMIN)
        return order.index(self) >= order.index(needed)


_SEARCH = "/patchsearch.v1.SearchService/"
_SHARD = "/patchsearch.shard.v1.ShardService/"
_ENCODER = "/patchsearch.encoder.v1.EncoderService/"
_CLUSTER = "/patchsearch.cluster.v1.ClusterService/"

LEAST_ROLES: Mapping[str, Role] = {
    _SEARCH + "Search": Role.READER,
    _SEARCH + "BatchSearch": Role.READER,
    _SEARCH + "GetImage": Role.READER,
    _SEARCH + "ListImages": Role.READER,
    _SEARCH + "DescribeCollection": Role.READER,
    _SEARCH + "ExplainSelection": Role.READER,
    _SEARCH + "IngestImages": Role.WRITER,
    _SEARCH + "DeleteImages": Role.WRITER,
    _CLUSTER + "GetClusterStatus": Role.ADMIN,
    _CLUSTER + "RunOperation": Role.ADMIN,
    _SHARD + "CreatePartition": Role.SERVICE,
    _SHARD + "PutImages": Role.SERVICE,
    _SHARD + "DeleteImages": Role.SERVICE,
    _SHARD + "SearchPartitions": Role.SERVICE,
    _SHARD + "GetImages": Role.SERVICE,
    _SHARD + "ListImages": Role.SERVICE,
    _SHARD + "DescribePartitions": Role.SERVICE,
    _SHARD + "SealPartition": Role.SERVICE,
    _SHARD + "CompactPartition": Role.SERVICE,
    _SHARD + "SnapshotPartition": Role.SERVICE,
    _SHARD + "ScrubPartition": Role.SERVICE,
    _SHARD + "CopyPartition": Role.SERVICE,
    _SHARD + "PullPartition": Role.SERVICE,
    _SHARD + "DigestPartition": Role.SERVICE,
    _SHARD + "ListVersions": Role.SERVICE,
    _SHARD + "RepairPartition": Role.SERVICE,
    _SHARD + "FencePartition": Role.SERVICE,
    _SHARD + "SplitPartition": Role.SERVICE,
    _SHARD + "DropPartition": Role.SERVICE,
    _ENCODER + "EncodeTexts": Role.SERVICE,
    _ENCODER + "EncodeCrops": Role.SERVICE,
    _ENCODER + "SelectAndEncode": Role.SERVICE,
    _ENCODER + "ExplainSelection": Role.SERVICE,
    _ENCODER + "GetEncoder": Role.SERVICE,
}
"""Full method name -> least role. A call that is not here needs ADMIN: closed until listed."""


def is_internal(service_name: str) -> bool:
    """Whether a service is for the cluster's own programs: every call that it has needs SERVICE."""
    roles = [role for method, role in LEAST_ROLES.items() if method[1:].startswith(service_name)]
    return bool(roles) and all(role is Role.SERVICE for role in roles)
