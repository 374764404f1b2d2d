"""A small collection behind the public proto, so that clients are tested over real gRPC.

Its "encoder" is the mean colour: a red crop is near to red patches and to the text "red". Every
photo gets two patches, its left and its right half.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np
from PIL import Image

from patchsearch import errors
from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import search_service_pb2_grpc as pb_grpc
from patchsearch.v1 import types_pb2
from patchsearch.wire.status import status_proto
from patchsearch.wire.vectors import box_from_proto, box_to_proto, matrix_to_proto
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings

FINGERPRINT = "mean-colour"
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
}


@dataclass
class Stored:
    request: pb.IngestImagesRequest
    width: int
    height: int
    boxes: list[Box]
    vectors: np.ndarray


@dataclass
class FakeCollection(pb_grpc.SearchServiceServicer):
    """Keeps photos in memory; `raises` and `breaks_after` make it misbehave."""

    images: dict[str, Stored] = field(default_factory=dict)
    calls: list[tuple[str, object]] = field(default_factory=list)
    raises: list[errors.PatchsearchError] = field(default_factory=list)
    """Errors to answer the next unary calls with."""
    breaks_after: list[int] = field(default_factory=list)
    """For the next streams: break off after so many answers."""
    ingest_delay_s: float = 0.0

    def Search(self, request: pb.SearchRequest, context: grpc.ServicerContext) -> pb.SearchResponse:
        self._called("Search", request)
        return self._search(request)

    def BatchSearch(
        self, request: pb.BatchSearchRequest, context: grpc.ServicerContext
    ) -> pb.BatchSearchResponse:
        self._called("BatchSearch", request)
        response = pb.BatchSearchResponse()
        for one in request.requests:
            outcome = response.results.add()
            try:
                outcome.response.CopyFrom(self._search(one))
            except errors.PatchsearchError as error:
                outcome.error.CopyFrom(status_proto(error))
        return response

    def IngestImages(
        self, requests: Iterable[pb.IngestImagesRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.IngestImagesResponse]:
        breaks_after = self.breaks_after.pop(0) if self.breaks_after else None
        for index, request in enumerate(requests):
            if index == breaks_after:
                raise errors.Unavailable("NOT_READY", "this server is going away")
            self.calls.append(("IngestImages", request))
            time.sleep(self.ingest_delay_s)
            yield self._ingest(request, index)

    def DeleteImages(
        self, request: pb.DeleteImagesRequest, context: grpc.ServicerContext
    ) -> pb.DeleteImagesResponse:
        self._called("DeleteImages", request)
        return pb.DeleteImagesResponse(
            deleted_image_ids=[i for i in request.image_ids if self.images.pop(i, None)]
        )

    def GetImage(
        self, request: pb.GetImageRequest, context: grpc.ServicerContext
    ) -> pb.GetImageResponse:
        self._called("GetImage", request)
        stored = self.images.get(request.image_id)
        if stored is None:
            raise errors.NotFound("IMAGE_NOT_FOUND", f"no image {request.image_id!r} is stored")
        response = pb.GetImageResponse(image=image_of(stored))
        for box in stored.boxes:
            response.patches.add(box=box_to_proto(box), level=1, selection_score=0.5)
        if request.include_vectors:
            response.vectors.CopyFrom(matrix_to_proto(stored.vectors, FINGERPRINT, "float16"))
        return response

    def ListImages(
        self, request: pb.ListImagesRequest, context: grpc.ServicerContext
    ) -> pb.ListImagesResponse:
        self._called("ListImages", request)
        ids = sorted((i for i in self.images if i.startswith(request.prefix)), key=str.encode)
        start = int(request.page_token or 0)
        size = request.page_size or 100
        page = ids[start : start + size]
        token = str(start + size) if start + size < len(ids) else ""
        return pb.ListImagesResponse(
            images=[image_of(self.images[i]) for i in page], next_page_token=token
        )

    def DescribeCollection(
        self, request: pb.DescribeCollectionRequest, context: grpc.ServicerContext
    ) -> pb.DescribeCollectionResponse:
        self._called("DescribeCollection", request)
        count = len(self.images)
        return pb.DescribeCollectionResponse(
            encoder="fake",
            fingerprint=FINGERPRINT,
            dim=3,
            images=count,
            patches=2 * count,
            epoch=7,
            partitions=[
                pb.PartitionState(
                    partition_id="p0",
                    shard="127.0.0.1:1",
                    available=True,
                    images=count,
                    patches=2 * count,
                    profile="exact",
                    replicas=[
                        pb.ReplicaState(shard="a", address="127.0.0.1:1", available=True),
                        pb.ReplicaState(shard="b", available=True, behind=True),
                        pb.ReplicaState(shard="c", available=True, joining=True, behind=True),
                        pb.ReplicaState(shard="d", behind=True),
                    ],
                    recall=[pb.MeasuredRecall(profile="graph", expected_hits=8, found_hits=6)],
                ),
                pb.PartitionState(
                    partition_id="p1",
                    recall=[pb.MeasuredRecall(profile="graph", expected_hits=8, found_hits=8)],
                ),
            ],
            selector="halves",
            saliency="none",
            version="0",
        )

    def _called(self, name: str, request: object) -> None:
        self.calls.append((name, request))
        if self.raises:
            raise self.raises.pop(0)

    def _ingest(self, request: pb.IngestImagesRequest, index: int) -> pb.IngestImagesResponse:
        response = pb.IngestImagesResponse(image_id=request.image_id, index=index)
        stored = self.images.get(request.image_id)
        try:
            if not 1 <= len(request.image_id.encode()) <= 511:
                raise errors.InvalidArgument("IMAGE_ID_INVALID", "image_id must be 1 to 511 bytes")
            if stored is not None and all(
                getattr(stored.request, name) == getattr(request, name)
                for name in ("digest", "uri", "metadata", "selector")
            ):
                response.outcome = pb.INGEST_OUTCOME_UNCHANGED
            elif not request.content:
                response.outcome = pb.INGEST_OUTCOME_CONTENT_NEEDED
            else:
                self.images[request.image_id] = stored_of(request)
                response.outcome, response.patches = pb.INGEST_OUTCOME_STORED, 2
        except errors.PatchsearchError as error:
            response.outcome = pb.INGEST_OUTCOME_FAILED
            response.error.CopyFrom(status_proto(error))
        return response

    def _search(self, request: pb.SearchRequest) -> pb.SearchResponse:
        total = sum(self._vector(term) * np.float32(term.weight) for term in request.terms)
        query = unit(np.asarray(total, np.float32))
        hits = []
        for image_id, stored in self.images.items():
            scores = stored.vectors @ query
            best = int(scores.argmax())
            hit = pb.Hit(
                image_id=image_id,
                box=box_to_proto(stored.boxes[best]),
                level=1,
                score=float(scores[best]),
                score_kind=types_pb2.SCORE_KIND_EXACT,
                uri=stored.request.uri,
                image_width=stored.width,
                image_height=stored.height,
                metadata=stored.request.metadata,
            )
            other = stored.boxes[1 - best]
            hit.suppressed.add(box=box_to_proto(other), score=float(scores[1 - best]))
            if not request.HasField("score_threshold") or hit.score >= request.score_threshold:
                hits.append(hit)
        hits.sort(key=lambda hit: (-hit.score, hit.image_id.encode()))
        return pb.SearchResponse(
            hits=hits[: request.k if request.HasField("k") else 16],
            coverage=types_pb2.Coverage(
                partitions_total=1,
                partitions_answered=1,
                patches_covered=2 * len(self.images),
                patches_total=2 * len(self.images),
            ),
            epoch=7,
            fingerprint=FINGERPRINT,
            timings=types_pb2.Timings(total_ms=1.5),
            candidates_read=len(self.images),
            warnings=["text was cut"] if any(len(t.text) > 77 for t in request.terms) else [],
        )

    def _vector(self, term: types_pb2.Term) -> np.ndarray:
        match term.WhichOneof("content"):
            case "text":
                if term.text not in COLOURS:
                    raise errors.InvalidArgument("TEXT_EMPTY", f"{term.text!r} is no colour")
                return unit(np.array(COLOURS[term.text], np.float32))
            case "crop":
                return mean_colour(decoded(term.crop))
            case "region":
                box = box_from_proto(term.region.box)
                image = decoded(term.region.image)
                if not box.inside(image.width, image.height):
                    raise errors.InvalidArgument("BOX_OUTSIDE_IMAGE", f"{box} is outside")
                return mean_colour(image.crop((box.x, box.y, box.right, box.bottom)))
            case "patch":
                stored = self.images.get(term.patch.image_id)
                if stored is None or box_from_proto(term.patch.box) not in stored.boxes:
                    raise errors.NotFound("PATCH_NOT_FOUND", "no such patch")
                return stored.vectors[stored.boxes.index(box_from_proto(term.patch.box))]
            case "vector":
                if term.vector.fingerprint != FINGERPRINT:
                    raise errors.FailedPrecondition("ENCODER_MISMATCH", "another encoder")
                return unit(np.frombuffer(term.vector.data, "<f4"))
        raise errors.InvalidArgument("QUERY_EMPTY", "term has no content")


@contextmanager
def running(collection: FakeCollection, port: int = 0) -> Iterator[str]:
    """Serves the collection on 127.0.0.1; gives the address."""
    service = Service(
        "patchsearch.v1.SearchService", collection, pb_grpc.add_SearchServiceServicer_to_server
    )
    with ServiceServer(ServiceSettings(port=port, drain_s=0.2), [service]) as server:
        yield server.address


def picture(colour: str | tuple[int, int, int], width: int = 64, height: int = 48) -> np.ndarray:
    """An (H, W, 3) uint8 picture of one colour."""
    rgb = COLOURS[colour] if isinstance(colour, str) else colour
    return np.broadcast_to(np.array(rgb, np.uint8), (height, width, 3)).copy()


def decoded(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except Exception as error:
        raise errors.InvalidArgument("IMAGE_UNDECODABLE", "bytes are no image") from error


def stored_of(request: pb.IngestImagesRequest) -> Stored:
    image = decoded(request.content)
    if hashlib.sha256(request.content).digest() != request.digest:
        raise errors.InvalidArgument("DIGEST_MISMATCH", "content was changed on the way")
    half = image.width // 2
    boxes = [Box(0, 0, half, image.height), Box(half, 0, half, image.height)]
    crops = [image.crop((b.x, b.y, b.right, b.bottom)) for b in boxes]
    vectors = np.stack([mean_colour(crop) for crop in crops]).astype(np.float16).astype(np.float32)
    kept = pb.IngestImagesRequest()
    kept.CopyFrom(request)
    kept.ClearField("content")
    return Stored(kept, image.width, image.height, boxes, vectors)


def image_of(stored: Stored) -> pb.Image:
    message = pb.Image(
        image_id=stored.request.image_id,
        uri=stored.request.uri,
        width=stored.width,
        height=stored.height,
        metadata=stored.request.metadata,
        digest=stored.request.digest,
        patch_count=len(stored.boxes),
    )
    message.update_time.FromSeconds(1_700_000_000)
    return message


def mean_colour(image: Image.Image) -> np.ndarray:
    return unit(np.asarray(image, np.float32).reshape(-1, 3).mean(0) + 1e-3)


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)
