"""How many replicas must have a write before it is acknowledged."""

from __future__ import annotations

import enum

from patchsearch.errors import InvalidArgument
from patchsearch.v1 import types_pb2


class Consistency(enum.Enum):
    """ONE | QUORUM | ALL, as a caller or a setting names it."""

    ONE = "one"
    QUORUM = "quorum"
    ALL = "all"

    def needed(self, replicas: int) -> int:
        """Acknowledgements to wait for, of so many replicas."""
        match self:
            case Consistency.ONE:
                return 1
            case Consistency.QUORUM:
                return replicas // 2 + 1
            case Consistency.ALL:
                return replicas


_BY_NUMBER = {
    types_pb2.WRITE_CONSISTENCY_ONE: Consistency.ONE,
    types_pb2.WRITE_CONSISTENCY_QUORUM: Consistency.QUORUM,
    types_pb2.WRITE_CONSISTENCY_ALL: Consistency.ALL,
}


def consistency_from_proto(
    value: types_pb2.WriteConsistency.ValueType, default: Consistency
) -> Consistency:
    """What a request asks for, `default` where it does not say.

    Raises InvalidArgument CONSISTENCY_UNKNOWN for a number that the API does not have.
    """
    if value == types_pb2.WRITE_CONSISTENCY_UNSPECIFIED:
        return default
    found = _BY_NUMBER.get(value)
    if found is None:
        raise InvalidArgument(
            "CONSISTENCY_UNKNOWN", f"consistency is {value}; send ONE (1), QUORUM (2) or ALL (3)"
        )
    return found
