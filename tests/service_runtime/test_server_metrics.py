"""What a server tells of itself beside its calls: how full it is and whether it serves."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from patchsearch.errors import NotFound
from patchsearch.v1 import search_service_pb2 as messages
from service_runtime.metrics import CallMetrics
from service_runtime.stages import stage

SEARCH = "/patchsearch.v1.SearchService/Search"


def test_errors_are_counted_by_reason(serve: Any) -> None:
    def search(request: Any, context: grpc.ServicerContext) -> Any:
        raise NotFound("PATCH_NOT_FOUND", "gone")

    registry = CollectorRegistry()
    running = serve(search=search, registry=registry)
    with pytest.raises(grpc.RpcError):
        running.stub.Search(messages.SearchRequest(), timeout=20)
    running.server.stop()

    found = registry.get_sample_value(
        "patchsearch_call_errors_total", {"method": SEARCH, "reason": "PATCH_NOT_FOUND"}
    )
    assert found == 1


def test_stages_are_timed(serve: Any) -> None:
    def search(request: Any, context: grpc.ServicerContext) -> Any:
        with stage("merge"):
            if request.k == 2:
                raise NotFound("PATCH_NOT_FOUND", "gone")
        return messages.SearchResponse()

    registry = CollectorRegistry()
    running = serve(search=search, registry=registry)
    running.stub.Search(messages.SearchRequest(k=1), timeout=20)
    with pytest.raises(grpc.RpcError):
        running.stub.Search(messages.SearchRequest(k=2), timeout=20)
    with stage("merge"):  # outside of calls
        pass

    for outcome in ("ok", "failed"):
        labels = {"stage": "merge", "outcome": outcome}
        assert registry.get_sample_value("patchsearch_stage_seconds_count", labels) == 1


def test_a_reason_that_is_none_makes_no_series() -> None:
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    for reason in ("lower case", "A" * 100, ""):
        metrics.started(SEARCH)
        metrics.finished(SEARCH, "UNKNOWN", 0.1, reason)

    found = registry.get_sample_value(
        "patchsearch_call_errors_total", {"method": SEARCH, "reason": "OTHER"}
    )
    assert found == 3


def test_waiting_and_refused_calls_are_seen(serve: Any) -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def search(request: Any, context: grpc.ServicerContext) -> Any:
        begun.release()
        release.wait(20)
        return messages.SearchResponse()

    registry = CollectorRegistry()
    running = serve(search=search, registry=registry, workers=1, max_waiting=2)
    calls = [running.stub.Search.future(messages.SearchRequest(), timeout=30)]
    assert begun.acquire(timeout=20)
    # The server takes calls of one connection in their order: the fourth finds two that wait.
    calls += [running.stub.Search.future(messages.SearchRequest(), timeout=30) for _ in range(2)]
    last = running.stub.Search.future(messages.SearchRequest(), timeout=30)
    refused = last.exception(timeout=30)
    waiting = registry.get_sample_value("patchsearch_calls_waiting")
    release.set()
    for call in calls:
        call.result()

    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert waiting == 2
    assert registry.get_sample_value("patchsearch_calls_waiting_limit") == 2
    assert registry.get_sample_value("patchsearch_workers") == 1


def test_it_tells_whether_it_serves(serve: Any) -> None:
    registry = CollectorRegistry()
    running = serve(registry=registry, started=False)
    told = [registry.get_sample_value("patchsearch_serving")]
    running.server.set_serving(True)
    told.append(registry.get_sample_value("patchsearch_serving"))
    running.server.stop()
    told.append(registry.get_sample_value("patchsearch_serving"))

    assert told == [0, 1, 0]


def test_probes_over_http_follow_the_health(serve: Any) -> None:
    running = serve(started=False, metrics_port=0)

    def status(path: str) -> int:
        try:
            url = f"http://127.0.0.1:{running.server.metrics_port}{path}"
            with urlopen(url, timeout=20) as answer:
                return int(answer.status)
        except HTTPError as error:
            error.close()
            return error.code

    before = status("/ready"), status("/live")
    running.server.set_serving(True)

    assert before == (503, 200)
    assert (status("/ready"), status("/live"), status("/metrics")) == (200, 200, 200)


def test_it_tells_when_its_certificate_ends(serve: Any, tmp_path: Path) -> None:
    ends = datetime(2031, 5, 1, tzinfo=UTC)
    cert, key = self_signed(tmp_path, ends)
    registry = CollectorRegistry()
    serve(registry=registry, tls_cert=cert, tls_key=key)

    found = registry.get_sample_value("patchsearch_certificate_expiry_timestamp_seconds")
    cert.write_text("renewal under way")
    broken = registry.get_sample_value("patchsearch_certificate_expiry_timestamp_seconds")

    assert found == ends.timestamp()
    assert broken != broken


def self_signed(folder: Path, ends: datetime) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - timedelta(days=9000))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
