"""An encoder without a model: what it is sent says which vectors come back."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Sequence

import grpc
import numpy as np
from numpy.typing import NDArray

from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceServicer
from patchsearch.errors import InvalidArgument, ResourceExhausted
from patchsearch.geometry import Box
from patchsearch.v1 import selection_pb2
from patchsearch.wire.vectors import matrix_to_proto

DIM = 64
FINGERPRINT = "f" * 32
SELECTOR = "fake-selector"
SALIENCY = "fake-saliency"
MAX_TOKENS = 8
MAP = b"a map"
_PHOTO = b"photo:"
_CROP = b"crop:"


def vector_of(seed: int) -> NDArray[np.float32]:
    """A unit vector, always the same one for a seed."""
    drawn = np.random.default_rng(seed).standard_normal(DIM)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def seed_of_text(text: str) -> int:
    """The seed whose vector a text gets."""
    return zlib.crc32(text.encode())


def photo(
    patches: Sequence[tuple[Box, int]], width: int = 1000, height: int = 1000, salt: str = ""
) -> bytes:
    """Content of a photo that has these patches: box and seed of the vector of each."""
    return (
        _PHOTO
        + json.dumps(
            {
                "width": width,
                "height": height,
                "patches": [[b.x, b.y, b.w, b.h, seed] for b, seed in patches],
                "salt": salt,
            }
        ).encode()
    )


def crop(seed: int) -> bytes:
    """Content of a crop that gets a seed's vector; it is 100 px wide and high."""
    return _CROP + str(seed).encode()


class FakeEncoder(EncoderServiceServicer):
    """Deterministic answers; `overloads` further photos are refused as OVERLOADED first."""

    def __init__(self, fingerprint: str = FINGERPRINT, name: str = "fake") -> None:
        self.fingerprint = fingerprint
        self.name = name
        self.selector = SELECTOR
        self.overloads = 0
        self.calls: list[str] = []
        self.released = threading.Event()
        """Photos wait for it."""
        self.released.set()
        self.waiting = 0
        self.most_waiting = 0
        self._lock = threading.Lock()

    def GetEncoder(self, request: pb.GetEncoderRequest, context: grpc.ServicerContext):
        return pb.GetEncoderResponse(
            name=self.name,
            fingerprint=self.fingerprint,
            dim=DIM,
            limits=pb.EncoderLimits(
                max_image_pixels=1_000_000,
                min_crop_side=8,
                max_batch=16,
                max_text_tokens=MAX_TOKENS,
            ),
            device="none",
            precision="float32",
            selector=self.selector,
            saliency=SALIENCY,
            selectors=[SELECTOR, "other-selector"],
        )

    def EncodeTexts(self, request: pb.EncodeTextsRequest, context: grpc.ServicerContext):
        self.calls.append("EncodeTexts")
        return pb.EncodeTextsResponse(
            vectors=self._matrix([vector_of(seed_of_text(t)) for t in request.texts]),
            truncated=[i for i, t in enumerate(request.texts) if len(t.split()) > MAX_TOKENS],
        )

    def EncodeCrops(self, request: pb.EncodeCropsRequest, context: grpc.ServicerContext):
        self.calls.append("EncodeCrops")
        rows = []
        for position, sent in enumerate(request.crops):
            if not sent.image.startswith(_CROP):
                raise _refused("CROP_UNDECODABLE", position, "no picture")
            if sent.HasField("box"):
                box = Box(sent.box.x, sent.box.y, sent.box.w, sent.box.h)
                if not box.inside(100, 100):
                    raise _refused("BOX_OUTSIDE_IMAGE", position, f"{box} is outside")
            rows.append(vector_of(int(sent.image[len(_CROP) :])))
        return pb.EncodeCropsResponse(vectors=self._matrix(rows))

    def SelectAndEncode(self, request: pb.SelectAndEncodeRequest, context: grpc.ServicerContext):
        with self._lock:
            self.calls.append("SelectAndEncode")
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            refuse = self.overloads > 0
            self.overloads -= refuse
        try:
            if refuse:
                raise ResourceExhausted("OVERLOADED", "the queue is full", retry_after_s=0.01)
            if not request.image.startswith(_PHOTO):
                raise InvalidArgument("IMAGE_UNDECODABLE", "the image is no picture")
            self.released.wait(30)
        finally:
            with self._lock:
                self.waiting -= 1
        told = json.loads(request.image[len(_PHOTO) :])
        patches = told["patches"]
        return pb.SelectAndEncodeResponse(
            width=told["width"],
            height=told["height"],
            patches=[
                pb.SelectedPatch(box={"x": x, "y": y, "w": w, "h": h}, level=1, score=0.5)
                for x, y, w, h, _ in patches
            ],
            vectors=self._matrix([vector_of(seed) for *_, seed in patches]),
            selection=f"{request.selector or self.selector}/{SALIENCY}",
        )

    def ExplainSelection(self, request: pb.ExplainSelectionRequest, context: grpc.ServicerContext):
        """Every patch is chosen; one more window is below the threshold."""
        self.calls.append("ExplainSelection")
        if self.overloads > 0:
            self.overloads -= 1
            raise ResourceExhausted("OVERLOADED", "the queue is full", retry_after_s=0.01)
        if not request.image.startswith(_PHOTO):
            raise InvalidArgument("IMAGE_UNDECODABLE", "the image is no picture")
        told = json.loads(request.image[len(_PHOTO) :])
        whole = {"x": 0, "y": 0, "w": told["width"], "h": told["height"]}
        explanation = selection_pb2.SelectionExplanation(
            width=told["width"],
            height=told["height"],
            selection=f"{request.selector or self.selector}/{SALIENCY}",
            decode_ms=1,
            select_ms=2,
        )
        explanation.regions.add(
            box=whole, level=1, rule="SELECTION_RULE_SCORES", min_average=0.05, saliency_png=MAP
        )
        for x, y, w, h, _ in told["patches"]:
            box = {"x": x, "y": y, "w": w, "h": h}
            explanation.windows.add(
                box=box, level=1, score=0.5, average=0.5, decision="WINDOW_DECISION_CHOSEN"
            )
        explanation.windows.add(
            box={"x": 0, "y": 0, "w": 10, "h": 10},
            level=1,
            average=0.01,
            decision="WINDOW_DECISION_BELOW_THRESHOLD",
        )
        del explanation.windows[request.max_windows or 2000 :]
        explanation.counts.add(
            level=1, decision="WINDOW_DECISION_CHOSEN", windows=len(told["patches"])
        )
        explanation.counts.add(level=1, decision="WINDOW_DECISION_BELOW_THRESHOLD", windows=1)
        return pb.ExplainSelectionResponse(explanation=explanation)

    def _matrix(self, rows: Sequence[NDArray[np.float32]]):
        return matrix_to_proto(np.stack(rows), self.fingerprint)


def _refused(reason: str, position: int, problem: str) -> InvalidArgument:
    message = f"crop {position}: {problem}"
    return InvalidArgument(reason, message, metadata={"position": str(position)})
