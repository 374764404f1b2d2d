"""What the audit log says, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from patchsearch.errors import InvalidArgument
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import search_service_pb2_grpc as stubs
from patchsearch.wire.status import status_proto
from router.audit import AuditedServicer
from router.redaction import RedactedServicer
from service_runtime.clients import open_channel
from service_runtime.roles import Role
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from tests.security.conftest import Tokens
from tests.security.services import RPCS

PIXELS = b"\xff\xd8 pixels of somebody"
WORDS = "the man in the yellow coat"
PLATE = "S-AB 1234"
IMAGE = "drive-7/anna.jpg"


def hit() -> pb.Hit:
    found = pb.Hit(image_id=IMAGE, uri="file:///photos/anna.jpg", score=0.5)
    found.metadata.update({"plate": PLATE})
    return found


def image() -> pb.Image:
    stored = pb.Image(image_id=IMAGE, uri="file:///photos/anna.jpg", digest=b"d" * 32, width=640)
    stored.metadata.update({"plate": PLATE})
    return stored


class Collection(stubs.SearchServiceServicer):
    """A collection of one image."""

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.k > 1000:
            raise InvalidArgument("K_OUT_OF_RANGE", f"k is {request.k}")
        return pb.SearchResponse(hits=[hit(), hit()])

    def BatchSearch(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = pb.BatchSearchResponse()
        response.results.add(response=pb.SearchResponse(hits=[hit()]))
        response.results.add(error=status_proto(InvalidArgument("K_OUT_OF_RANGE", "k is 0")))
        return response

    def IngestImages(
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        for position, request in enumerate(request_iterator):
            outcome = pb.INGEST_OUTCOME_FAILED if position == 1 else pb.INGEST_OUTCOME_STORED
            yield pb.IngestImagesResponse(image_id=request.image_id, outcome=outcome)

    def DeleteImages(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.DeleteImagesResponse(deleted_image_ids=request.image_ids[:1])

    def GetImage(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.GetImageResponse(image=image())

    def ListImages(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.ListImagesResponse(images=[image()])

    def DescribeCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.DescribeCollectionResponse(images=1)

    def ExplainSelection(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = pb.ExplainSelectionResponse()
        response.explanation.regions.add(level=1, saliency_png=PIXELS)
        response.explanation.windows.add(level=1)
        return response


class Audited:
    """A server with an audit log, and its lines."""

    def __init__(self, stack: ExitStack, file: Path, servicer: Any, **settings: Any) -> None:
        service = Service(
            "patchsearch.v1.SearchService", servicer, stubs.add_SearchServiceServicer_to_server
        )
        self._server = ServiceServer(
            ServiceSettings(drain_s=1, audit_file=file, **settings), [service]
        )
        stack.enter_context(self._server)
        channel = stack.enter_context(open_channel(self._server.address))
        self.stub = stubs.SearchServiceStub(channel)
        self._file = file

    def lines(self) -> list[dict[str, Any]]:
        """All lines, once the server has stopped."""
        self._server.stop()
        return [json.loads(line) for line in self._file.read_text().splitlines()]


@pytest.fixture
def audited(tmp_path: Path, stack: ExitStack, tokens: Tokens) -> Audited:
    servicer = AuditedServicer(Collection())  # type: ignore[arg-type]
    return Audited(stack, tmp_path / "audit.jsonl", servicer, tokens=tokens.file)


def search() -> pb.SearchRequest:
    request = pb.SearchRequest(k=5)
    request.terms.add(text=WORDS)
    request.terms.add(text=WORDS, weight=-0.5)
    request.terms.add(crop=PIXELS)
    request.terms.add().patch.image_id = IMAGE
    request.filter.image_id_prefix = PLATE
    return request


def test_a_line_for_every_call(audited: Audited, tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.add(Role.WRITER, name="anna")
    bearer = [("authorization", f"Bearer {token}"), ("x-request-id", "r-1")]
    every: dict[str, Any] = {"metadata": bearer, "timeout": 20}
    stub = audited.stub

    stub.Search(search(), **every)
    with pytest.raises(grpc.RpcError):
        stub.Search(pb.SearchRequest(k=2000), **every)
    stub.BatchSearch(pb.BatchSearchRequest(requests=[search(), search()]), **every)
    sent = [pb.IngestImagesRequest(image_id=IMAGE, content=PIXELS) for _ in range(3)]
    list(stub.IngestImages(iter(sent), **every))
    stub.DeleteImages(pb.DeleteImagesRequest(image_ids=[IMAGE, "x"]), **every)
    stub.GetImage(pb.GetImageRequest(image_id=IMAGE), **every)
    stub.ListImages(pb.ListImagesRequest(prefix="drive"), **every)
    stub.DescribeCollection(pb.DescribeCollectionRequest(), **every)
    stub.ExplainSelection(pb.ExplainSelectionRequest(content=PIXELS), **every)
    lines = audited.lines()

    facts = [
        {
            key: value
            for key, value in line.items()
            if key not in ("time", "ms", "peer", "event", "caller", "request_id")
        }
        for line in lines
    ]
    ok = {"outcome": "OK"}
    rpc = "patchsearch.v1.SearchService/"
    kinds = {"text": 2, "crop": 1, "patch": 1}
    assert facts == [
        {**ok, "rpc": rpc + "Search", "terms": kinds, "negative": 1, "filtered": True}
        | {"exact": False, "k": 5, "hits": 2, "degraded": False},
        {"rpc": rpc + "Search", "outcome": "INVALID_ARGUMENT", "reason": "K_OUT_OF_RANGE"}
        | {"terms": {}, "negative": 0, "filtered": False, "exact": False, "k": 2000},
        {**ok, "rpc": rpc + "BatchSearch", "queries": 2, "k": 5, "hits": 1, "failed": 1}
        | {"terms": {k: 2 * n for k, n in kinds.items()}, "negative": 2, "filtered": True}
        | {"exact": False},
        {**ok, "rpc": rpc + "IngestImages", "images": {"stored": 2, "failed": 1}},
        {**ok, "rpc": rpc + "DeleteImages", "images": 2, "deleted": 1},
        {**ok, "rpc": rpc + "GetImage", "vectors": False},
        {**ok, "rpc": rpc + "ListImages", "prefix": True, "images": 1},
        {**ok, "rpc": rpc + "DescribeCollection"},
        {**ok, "rpc": rpc + "ExplainSelection", "windows": 1},
    ]
    assert {line["caller"] for line in lines} == {"token:anna"}
    assert {line["request_id"] for line in lines} == {"r-1"}
    assert all(line["time"].endswith("Z") and line["ms"] >= 0 for line in lines)


def test_what_never_stands_in_it(audited: Audited, tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.add(Role.WRITER, name="anna")
    bearer = [("authorization", f"Bearer {token}")]

    audited.stub.Search(search(), metadata=bearer, timeout=20)
    audited.stub.GetImage(pb.GetImageRequest(image_id=IMAGE), metadata=bearer, timeout=20)
    audited.stub.ListImages(pb.ListImagesRequest(prefix=PLATE), metadata=bearer, timeout=20)
    with pytest.raises(grpc.RpcError):
        audited.stub.Search(search(), metadata=[("authorization", "Bearer ps_guessed")], timeout=20)
    audited.lines()

    written = (tmp_path / "audit.jsonl").read_text()
    for secret in (token, "ps_guessed", "pixels", WORDS, PLATE, IMAGE, "anna.jpg", "drive"):
        assert secret not in written
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_who_was_turned_away_is_told_too(audited: Audited, tokens: Tokens) -> None:
    reader = tokens.add(Role.READER, name="anna", rate=0.01, burst=1)
    bearer = [("authorization", f"Bearer {reader}")]

    for metadata in (None, bearer, bearer, [("authorization", "Bearer x")]):
        with pytest.raises(grpc.RpcError):
            audited.stub.DeleteImages(
                pb.DeleteImagesRequest(image_ids=["a"]), metadata=metadata, timeout=20
            )
    audited.stub.Search(search(), metadata=bearer, timeout=20)
    with pytest.raises(grpc.RpcError):
        audited.stub.Search(search(), metadata=bearer, timeout=20)

    assert [(line["caller"], line.get("reason")) for line in audited.lines()] == [
        ("anonymous", "TOKEN_MISSING"),
        ("token:anna", "ROLE_TOO_LOW"),
        ("token:anna", "ROLE_TOO_LOW"),
        ("anonymous", "TOKEN_INVALID"),
        ("token:anna", None),
        ("token:anna", "QUOTA_EXCEEDED"),
    ]


def test_it_goes_on_in_a_new_file_when_the_old_one_is_moved_away(
    audited: Audited, tokens: Tokens, tmp_path: Path
) -> None:
    bearer = [("authorization", f"Bearer {tokens.add(Role.READER)}")]
    audited.stub.Search(search(), metadata=bearer, timeout=20)

    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.1")
    audited.stub.Search(search(), metadata=bearer, timeout=20)

    assert len(audited.lines()) == 1
    assert len((tmp_path / "audit.1").read_text().splitlines()) == 1


def test_redacted_answers_lead_to_no_pixels(tmp_path: Path, stack: ExitStack) -> None:
    servicer = AuditedServicer(RedactedServicer(Collection()))  # type: ignore[arg-type]
    stub = Audited(stack, tmp_path / "audit.jsonl", servicer).stub

    answers = [
        stub.Search(search(), timeout=20),
        stub.BatchSearch(pb.BatchSearchRequest(requests=[search()]), timeout=20),
        stub.GetImage(pb.GetImageRequest(image_id=IMAGE), timeout=20),
        stub.ListImages(pb.ListImagesRequest(), timeout=20),
    ]
    with pytest.raises(grpc.RpcError) as raised:
        stub.GetImage(pb.GetImageRequest(image_id=IMAGE, include_vectors=True), timeout=20)

    told = stub.ExplainSelection(pb.ExplainSelectionRequest(content=PIXELS), timeout=20).explanation

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]
    assert told.windows and not told.regions[0].saliency_png
    assert "--redact" in told.warnings[0]
    for answer in answers:
        text = str(answer)
        assert IMAGE in text
        assert "photos" not in text and PLATE not in text and "digest" not in text


@pytest.mark.parametrize("wrapper", [AuditedServicer, RedactedServicer])
def test_no_call_is_forgotten(wrapper: type) -> None:
    public = {rpc.method.name for rpc in RPCS if "v1.SearchService" in rpc.path}

    assert public <= set(vars(wrapper))
