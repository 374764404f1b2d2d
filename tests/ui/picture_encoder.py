"""An encoder without a model for real pictures: a box gets a vector that its mean colours say."""

from __future__ import annotations

import io

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from encoder_service.explaining import ExplainedPhoto
from encoder_service.explanation_message import explanation_message
from patch_selection import explain_selection, load_saliency
from patch_selection.selectors import HIERARCHICAL_FILTERED
from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.errors import InvalidArgument
from tests.contract.fake_encoder import DIM, SALIENCY, FakeEncoder

SIDE = 100
"""Patches are squares of this side, on a grid without overlaps."""


class PictureEncoder(FakeEncoder):
    """Like FakeEncoder, but photos and crops are JPEG or PNG."""

    def EncodeCrops(self, request: pb.EncodeCropsRequest, context: grpc.ServicerContext):
        rows = []
        for sent in request.crops:
            image = _opened(sent.image, "CROP_UNDECODABLE")
            if sent.HasField("box"):
                box = sent.box
                image = image.crop((box.x, box.y, box.x + box.w, box.y + box.h))
            rows.append(_vector(image))
        return pb.EncodeCropsResponse(vectors=self._matrix(rows))

    def ExplainSelection(self, request: pb.ExplainSelectionRequest, context: grpc.ServicerContext):
        """What the real encoder would say; the patches that this one stores are others."""
        pixels = np.asarray(_opened(request.image, "IMAGE_UNDECODABLE"))
        explanation = explain_selection(
            pixels, load_saliency(), HIERARCHICAL_FILTERED, request.max_windows
        )
        photo = ExplainedPhoto(
            pixels.shape[1], pixels.shape[0], "hierarchical/real", explanation, 1.0, 2.0
        )
        return pb.ExplainSelectionResponse(explanation=explanation_message(photo))

    def SelectAndEncode(self, request: pb.SelectAndEncodeRequest, context: grpc.ServicerContext):
        image = _opened(request.image, "IMAGE_UNDECODABLE")
        boxes = [
            (x, y, SIDE, SIDE)
            for y in range(0, image.height - SIDE + 1, SIDE)
            for x in range(0, image.width - SIDE + 1, SIDE)
        ]
        rows = [_vector(image.crop((x, y, x + w, y + h))) for x, y, w, h in boxes]
        return pb.SelectAndEncodeResponse(
            width=image.width,
            height=image.height,
            patches=[
                pb.SelectedPatch(box={"x": x, "y": y, "w": w, "h": h}, level=1, score=0.5)
                for x, y, w, h in boxes
            ],
            vectors=self._matrix(rows),
            selection=f"{request.selector or self.selector}/{SALIENCY}",
        )


def _opened(content: bytes, reason: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content)).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InvalidArgument(reason, "this is no picture") from error


def _vector(image: Image.Image) -> NDArray[np.float32]:
    small = np.asarray(image.resize((5, 4), Image.Resampling.BOX), dtype=np.float32).ravel()
    vector = np.zeros(DIM, np.float32)
    vector[: small.size] = small / 255 - 0.5
    vector[-1] = 0.01  # a grey patch has a direction, too
    return vector / np.linalg.norm(vector)
