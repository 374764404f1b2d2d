"""What happens around every call: admission, request id, deadline, errors, log line, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from patchsearch.errors import InternalError, PatchsearchError, ResourceExhausted, Unimplemented
from patchsearch.wire.status import DETAILS_KEY, error_from_rpc, status_proto
from service_runtime import audit, caller, request_id
from service_runtime.admission import Gate, Phase, WorkerPool
from service_runtime.audit import AuditLog
from service_runtime.caller import ANONYMOUS, Caller
from service_runtime.deadlines import bounded
from service_runtime.doorkeeper import Admission, Doorkeeper
from service_runtime.handlers import Behavior, Handler, behavior_of, remade
from service_runtime.logs import logger
from service_runtime.metrics import CallMetrics
from service_runtime.stages import observe_stages
from service_runtime.tracing import CallSpan, Tracing

_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
_SERVING = HealthCheckResponse.SERVING
_RETRY_AFTER_S = 1.0

if TYPE_CHECKING:  # generic in the stubs only
    ServerInterceptor = grpc.ServerInterceptor[Any, Any]
else:
    ServerInterceptor = grpc.ServerInterceptor


class CallInterceptor(ServerInterceptor):
    """Wraps every handler of the server's services, unary and streaming alike. Thread-safe.

    - A call that comes before the server is warm or while it drains: UNAVAILABLE, NOT_READY.
    - A call whose token or certificate does not do: UNAUTHENTICATED or PERMISSION_DENIED; its
      message is never read.
    - A call that finds the pool full, or calls waiting too long: RESOURCE_EXHAUSTED, OVERLOADED,
      with RetryInfo.
    - `PatchsearchError` and a failed downstream call: their status with one ErrorInfo.
    - Any other exception: INTERNAL under the request id; the trace is in the log.
    - `context.time_remaining()` is always finite (`service_runtime.deadlines`).

    Health checks and refusals run on `side_pool`, so they are answered when all workers are busy.
    Watches of the health and reflection, which callers may hold open, have threads of `watch_pool`,
    and those it has none for are OVERLOADED; watches end when the server drains. By default
    grpc_health would send to them from the threads that set the health, under the lock that the end
    of another watch takes in grpc's own thread: a few that came and went stopped a server for good.
    """

    def __init__(
        self,
        gate: Gate,
        pool: WorkerPool,
        side_pool: ThreadPoolExecutor,
        watch_pool: WorkerPool,
        metrics: CallMetrics,
        default_deadline_s: float,
        tracing: Tracing | None = None,
        doorkeeper: Doorkeeper | None = None,
        audit_log: AuditLog | None = None,
    ) -> None:
        self._gate = gate
        self._pool = pool
        self._side_pool = side_pool
        self._watch_pool = watch_pool
        self._metrics = metrics
        self._default_deadline_s = default_deadline_s
        self._tracing = tracing
        self._doorkeeper = doorkeeper or Doorkeeper()
        self._audit_log = audit_log
        self._log = logger("calls")

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        try:
            admission = self._doorkeeper.admit(method, handler_call_details.invocation_metadata)
        except PatchsearchError as refusal:
            # As a stream, whatever the method is: so the caller's message is not read.
            refuse = self._around(method, _refuse_with(refusal), None, respond_as_stream=True)
            return grpc.stream_stream_rpc_method_handler(_in_pool(refuse, self._side_pool))
        behavior = behavior_of(handler)
        if method == _HEALTH_CHECK:
            return remade(handler, _in_pool(_telling_errors(behavior), self._side_pool))
        pool = self._watch_pool if method.startswith("/grpc.") else self._pool
        full = pool.full
        if pool is self._watch_pool and not full:
            watch = self._until_draining(behavior) if method == _HEALTH_WATCH else behavior
            return remade(handler, _in_pool(_telling_errors_of_stream(watch), pool))
        behavior = self._around(
            method,
            _refuse if full else behavior,
            admission,
            streaming=bool(handler.request_streaming or handler.response_streaming),
            respond_as_stream=bool(handler.response_streaming),
        )
        return remade(handler, _in_pool(behavior, self._side_pool) if full else behavior)

    def _until_draining(self, watch: Behavior) -> Behavior:
        def told(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            watcher = watch(request, context)
            # grpc_health does not see that a caller has left before it began.
            if not context.add_callback(watcher.close):
                return
            for status in watcher:
                yield status
                if status.status != _SERVING and self._gate.phase is Phase.DRAINING:
                    return

        return told

    def _around(
        self,
        method: str,
        behavior: Behavior,
        admission: Admission | None,
        *,
        streaming: bool = False,
        respond_as_stream: bool,
    ) -> Behavior:
        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            with self._served(method, context, streaming, admission) as served:
                return behavior(request, served)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._served(method, context, streaming, admission) as served:
                yield from behavior(request, served)

        return stream if respond_as_stream else unary

    @contextmanager
    def _served(
        self,
        method: str,
        context: grpc.ServicerContext,
        streaming: bool,
        admission: Admission | None,
    ) -> Iterator[grpc.ServicerContext]:
        started = time.perf_counter()
        metadata = context.invocation_metadata()
        rid = request_id.adopt(metadata)
        span = None
        if self._tracing is not None:
            span = self._tracing.serve(method, metadata, rid, parent_of_all=not streaming)
        context.set_trailing_metadata(((request_id.HEADER, rid),))
        peer = context.peer()  # empty once the call is over
        caller.adopt(ANONYMOUS)
        facts = audit.begin()
        observe_stages(self._metrics.staged)
        self._metrics.started(method)
        error: PatchsearchError | None = None
        try:
            if admission is None:  # refused already: the behaviour raises why
                yield context
                return
            caller.adopt(self._doorkeeper.recognise(admission, context))
            with admission.running():
                self._gate.enter()
                try:
                    yield bounded(context, self._default_deadline_s, streaming=streaming)
                finally:
                    self._gate.leave()
        except PatchsearchError as raised:
            error = raised
            _abort(context, raised, rid)
        except Exception as raised:
            if _is_grpcs_own(raised, context):
                raise
            error = self._translated(raised, method, context, rid)
            _abort(context, error, rid)
        finally:
            seconds = time.perf_counter() - started
            code = self._account(method, context, peer, error, seconds, span)
            if self._audit_log is not None:
                self._audit_log.write(
                    caller=_named(error) or caller.current_caller(),
                    peer=peer,
                    method=method,
                    outcome=code,
                    reason=None if error is None else error.reason,
                    ms=seconds * 1000,
                    request_id=rid,
                    facts=facts,
                )

    def _translated(
        self, raised: Exception, method: str, context: grpc.ServicerContext, rid: str
    ) -> PatchsearchError:
        if isinstance(raised, grpc.RpcError):
            return error_from_rpc(raised)
        if isinstance(raised, NotImplementedError) and _code_name(context) == "UNIMPLEMENTED":
            # The generated base class speaks: the servicer does not define this method.
            return Unimplemented("NOT_OFFERED", f"this server does not offer {method}")
        self._log.error("call failed on a defect", method=method, exc_info=raised)
        return InternalError(
            "INTERNAL",
            f"the server failed on this call ({type(raised).__name__}); its log tells more under "
            f"request id {rid}",
        )

    def _account(
        self,
        method: str,
        context: grpc.ServicerContext,
        peer: str,
        error: PatchsearchError | None,
        seconds: float,
        span: CallSpan | None,
    ) -> str:
        if error is not None:
            code = error.code
        elif not context.is_active():
            left = context.time_remaining()
            code = "DEADLINE_EXCEEDED" if left is not None and left <= 0 else "CANCELLED"
        else:
            code = _code_name(context)
        reason = None if error is None else error.reason
        self._metrics.finished(method, code, seconds, reason)
        if span is not None:
            span.end(code, reason)
        fields: dict[str, Any] = {
            "method": method,
            "code": code,
            "ms": round(seconds * 1000, 1),
            "peer": peer,
        }
        if error is None:
            self._log.info("call", **fields)
        else:
            self._log.info("call", **fields, reason=error.reason, message=error.message)
        return code


def _in_pool(behavior: Behavior, pool: ThreadPoolExecutor) -> Behavior:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        return behavior(request, context)

    # grpc's own way to send one method to another pool; grpc_health uses it too.
    answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return answer


def _telling_errors(behavior: Behavior) -> Behavior:
    """For grpc's own services, which are neither counted nor held back while the server drains."""

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        with _aborting(context):
            return behavior(request, context)

    return answer


def _telling_errors_of_stream(behavior: Behavior) -> Behavior:
    def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with _aborting(context):
            yield from behavior(request, context)

    return answer


@contextmanager
def _aborting(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except PatchsearchError as error:
        _abort(context, error, request_id.adopt(context.invocation_metadata()))


def _refuse(request: Any, context: grpc.ServicerContext) -> NoReturn:
    raise ResourceExhausted(
        "OVERLOADED",
        "more calls wait for this server than it accepts; come back later, or send fewer at a time",
        retry_after_s=_RETRY_AFTER_S,
    )


def _refuse_with(refusal: PatchsearchError) -> Behavior:
    def refuse(request: Any, context: grpc.ServicerContext) -> NoReturn:
        raise refusal

    return refuse


def _named(error: PatchsearchError | None) -> Caller | None:
    """Whose token was refused, where the door knew it."""
    name = None if error is None else error.metadata.get("token")
    return None if name is None else Caller(f"token:{name}")


def _abort(context: grpc.ServicerContext, error: PatchsearchError, rid: str) -> NoReturn:
    status = status_proto(_with_request_id(error, rid))
    context.set_trailing_metadata(
        ((request_id.HEADER, rid), (DETAILS_KEY, status.SerializeToString()))
    )
    context.abort(grpc.StatusCode[error.code], status.message)


def _with_request_id(error: PatchsearchError, rid: str) -> PatchsearchError:
    error.metadata.setdefault("request_id", rid)
    return error


def _is_grpcs_own(raised: Exception, context: grpc.ServicerContext) -> bool:
    """Whether `raised` only unwinds a call whose end grpc has settled: an abort, a cancellation."""
    if isinstance(raised, grpc.RpcError) and not isinstance(raised, grpc.Call):
        return True
    # context.abort raises a bare Exception after it has set the code.
    return type(raised) is Exception and not raised.args and _code_name(context) != "OK"


def _code_name(context: grpc.ServicerContext) -> str:
    code = context.code()  # type: ignore[attr-defined]  # the stubs lack it
    return code.name if isinstance(code, grpc.StatusCode) else "OK"
