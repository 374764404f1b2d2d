"""Everything that patchsearch raises on purpose.

    PatchsearchError
    ├── InvalidArgument       the request itself is wrong; repeating it cannot help
    ├── NotFound              no such image, patch or partition
    ├── FailedPrecondition    right request, wrong state: another encoder, a directory in use
    ├── Unauthenticated       no token, or one that is unknown or has expired
    ├── PermissionDenied      the caller is known and may not do this
    ├── ResourceExhausted     a queue, quota or disk is full; `retry_after_s` says when to return
    ├── Unavailable           loading, draining, or too little of the collection answered
    ├── DeadlineExceeded      the caller's time ran out
    ├── DataLoss              a store is damaged and cannot be rebuilt
    ├── Unimplemented         the server knows the call but does not offer it
    └── InternalError         a defect; the server's log has the trace under the request id

Servers raise these, one interceptor turns them into a gRPC status with one `ErrorInfo`, and the
client turns that back into the same class. Branch on the class and on `reason`, never on the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class PatchsearchError(Exception):
    """An error with a stable machine-readable `reason` and a message that names the remedy."""

    code: ClassVar[str] = "UNKNOWN"
    """Name of the gRPC status code that carries this error."""

    def __init__(
        self, reason: str, message: str, *, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"


class InvalidArgument(PatchsearchError):
    """The request cannot be served as it is written."""

    code = "INVALID_ARGUMENT"


class NotFound(PatchsearchError):
    """What the request names does not exist."""

    code = "NOT_FOUND"


class FailedPrecondition(PatchsearchError):
    """The system is not in a state in which the request could succeed."""

    code = "FAILED_PRECONDITION"


class Unauthenticated(PatchsearchError):
    """The server does not know who calls."""

    code = "UNAUTHENTICATED"


class PermissionDenied(PatchsearchError):
    """The server knows who calls, and that this caller may not do this."""

    code = "PERMISSION_DENIED"


class ResourceExhausted(PatchsearchError):
    """A limit on queued work, memory or disk was reached."""

    code = "RESOURCE_EXHAUSTED"

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason, message, metadata=metadata)
        self.retry_after_s = retry_after_s


class Unavailable(PatchsearchError):
    """The service cannot answer now; the same request may succeed later."""

    code = "UNAVAILABLE"


class DeadlineExceeded(PatchsearchError):
    """The call's time ran out before the work was done."""

    code = "DEADLINE_EXCEEDED"


class DataLoss(PatchsearchError):
    """Stored data is damaged beyond what can be rebuilt."""

    code = "DATA_LOSS"


class Unimplemented(PatchsearchError):
    """The call exists in the API but this server does not offer it."""

    code = "UNIMPLEMENTED"


class InternalError(PatchsearchError):
    """A defect in the server."""

    code = "INTERNAL"


ERROR_CLASSES: Mapping[str, type[PatchsearchError]] = {
    cls.code: cls
    for cls in (
        InvalidArgument,
        NotFound,
        FailedPrecondition,
        Unauthenticated,
        PermissionDenied,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        DataLoss,
        Unimplemented,
        InternalError,
    )
}
"""gRPC status code name -> class."""
