"""The same few things done to the oracle and to a router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patchsearch.filters import Filter
from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from patchsearch.wire.filters import filter_to_proto
from patchsearch.wire.structs import struct_to_proto
from patchsearch.wire.vectors import box_from_proto, vector_to_proto
from tests.contract.fake_encoder import FINGERPRINT, photo, vector_of
from tests.contract.oracle import FoundPatch, Oracle, StoredPhoto

CALL_TIMEOUT_S = 20.0

Patches = Sequence[tuple[Box, int]]
"""Boxes, and the seeds of their vectors."""

Metadata = Mapping[str, Any]
NONE: Metadata = {}


class Door(Protocol):
    """A collection, whoever keeps it."""

    def put(
        self, image_id: str, patches: Patches, uri: str = "", metadata: Metadata = NONE
    ) -> None: ...

    def delete(self, *image_ids: str) -> list[str]: ...

    def boxes(self, image_id: str) -> list[Box] | None: ...

    def ids(self, prefix: str = "", page_size: int = 100) -> list[str]: ...

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        exact: bool = False,
        threshold: float | None = None,
        keep_overlapping: bool = False,
        filter: Filter | None = None,
        ef: int | None = None,
        nprobe: int | None = None,
        oversample: float | None = None,
    ) -> list[FoundPatch]: ...


class OracleDoor:
    """The oracle behind the door."""

    def __init__(self) -> None:
        self._oracle = Oracle()

    def put(
        self, image_id: str, patches: Patches, uri: str = "", metadata: Metadata = NONE
    ) -> None:
        boxes = tuple(box for box, _ in patches)
        vectors = np.stack([vector_of(seed) for _, seed in patches])
        self._oracle.put(StoredPhoto(image_id, boxes, vectors, uri, metadata))

    def delete(self, *image_ids: str) -> list[str]:
        return self._oracle.delete(image_ids)

    def boxes(self, image_id: str) -> list[Box] | None:
        return self._oracle.boxes(image_id)

    def ids(self, prefix: str = "", page_size: int = 100) -> list[str]:
        return self._oracle.ids(prefix)

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        exact: bool = False,
        threshold: float | None = None,
        keep_overlapping: bool = False,
        filter: Filter | None = None,
        ef: int | None = None,
        nprobe: int | None = None,
        oversample: float | None = None,
    ) -> list[FoundPatch]:
        return self._oracle.search(
            query, k, threshold=threshold, keep_overlapping=keep_overlapping, filter=filter
        )


class RouterDoor:
    """A router behind the door: everything goes through its public API."""

    def __init__(self, stub: SearchServiceStub) -> None:
        self.stub = stub

    def put(
        self, image_id: str, patches: Patches, uri: str = "", metadata: Metadata = NONE
    ) -> None:
        self.put_all([(image_id, patches)], uri, {image_id: metadata})

    def put_all(
        self,
        images: Sequence[tuple[str, Patches]],
        uri: str = "",
        metadata: Mapping[str, Metadata] = NONE,
    ) -> None:
        requests = [
            pb.IngestImagesRequest(
                image_id=i,
                content=photo(patches),
                uri=uri,
                metadata=struct_to_proto(metadata.get(i, NONE)),
            )
            for i, patches in images
        ]
        results = list(self.stub.IngestImages(iter(requests), timeout=CALL_TIMEOUT_S))
        assert [r.outcome for r in results] == [pb.INGEST_OUTCOME_STORED] * len(images), results
        assert {(r.index, r.patches) for r in results} == {
            (i, len(patches)) for i, (_, patches) in enumerate(images)
        }

    def delete(self, *image_ids: str) -> list[str]:
        request = pb.DeleteImagesRequest(image_ids=image_ids)
        return list(self.stub.DeleteImages(request, timeout=CALL_TIMEOUT_S).deleted_image_ids)

    def boxes(self, image_id: str) -> list[Box] | None:
        if image_id not in self.ids(image_id):
            return None
        response = self.stub.GetImage(pb.GetImageRequest(image_id=image_id), timeout=CALL_TIMEOUT_S)
        assert response.image.patch_count == len(response.patches)
        return [box_from_proto(p.box) for p in response.patches]

    def ids(self, prefix: str = "", page_size: int = 100) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = self.stub.ListImages(
                pb.ListImagesRequest(prefix=prefix, page_size=page_size, page_token=token),
                timeout=CALL_TIMEOUT_S,
            )
            assert len(page.images) <= page_size
            found.extend(image.image_id for image in page.images)
            token = page.next_page_token
            if not token:
                return found

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        exact: bool = False,
        threshold: float | None = None,
        keep_overlapping: bool = False,
        filter: Filter | None = None,
        ef: int | None = None,
        nprobe: int | None = None,
        oversample: float | None = None,
    ) -> list[FoundPatch]:
        response = self.stub.Search(
            vector_request(
                query,
                k=k,
                exact=exact,
                score_threshold=threshold,
                keep_overlapping=keep_overlapping,
                filter=None if filter is None else filter_to_proto(filter),
                ef=ef,
                nprobe=nprobe,
                oversample=oversample,
            ),
            timeout=CALL_TIMEOUT_S,
        )
        assert not response.coverage.degraded
        assert response.coverage.patches_covered == response.coverage.patches_total
        return [
            FoundPatch(
                hit.image_id,
                box_from_proto(hit.box),
                hit.score,
                tuple((box_from_proto(s.box), s.score) for s in hit.suppressed),
            )
            for hit in response.hits
        ]


def vector_request(query: NDArray[np.float32], **fields: object) -> pb.SearchRequest:
    """A search for one vector."""
    request = pb.SearchRequest(**fields)  # type: ignore[arg-type]
    request.terms.add(vector=vector_to_proto(query, FINGERPRINT))
    return request
