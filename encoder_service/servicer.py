"""EncoderService: messages to calls of the encoders, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from encoder_service.call import Call
from encoder_service.crops import CropEncoder, CropInput
from encoder_service.explaining import SelectionExplainer
from encoder_service.explanation_message import explanation_message
from encoder_service.limits import EncoderLimits
from encoder_service.model import ModelCard
from encoder_service.photos import PhotoEncoder
from encoder_service.texts import TextEncoder
from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceServicer
from patchsearch.errors import InvalidArgument
from patchsearch.wire.vectors import box_from_proto, box_to_proto, matrix_to_proto
from service_runtime.deadlines import remaining_s


@dataclass(frozen=True, slots=True)
class SelectionCard:
    """Names: the default selector, the saliency model, and every selector."""

    selector: str
    saliency: str
    selectors: Sequence[str]


class EncoderServicer(EncoderServiceServicer):
    """patchsearch.encoder.v1.EncoderService. Thread-safe; raises `PatchsearchError` only."""

    def __init__(
        self,
        card: ModelCard,
        limits: EncoderLimits,
        selection: SelectionCard,
        texts: TextEncoder,
        crops: CropEncoder,
        photos: PhotoEncoder,
        explainer: SelectionExplainer,
    ) -> None:
        self._card = card
        self._limits = limits
        self._selection = selection
        self._texts = texts
        self._crops = crops
        self._photos = photos
        self._explainer = explainer

    def EncodeTexts(
        self, request: pb.EncodeTextsRequest, context: grpc.ServicerContext
    ) -> pb.EncodeTextsResponse:
        """Embeds texts."""
        with _call(context) as call:
            encoded = self._texts.encode(list(request.texts), list(request.templates), call)
        return pb.EncodeTextsResponse(
            vectors=matrix_to_proto(encoded.vectors, self._card.fingerprint),
            truncated=encoded.truncated,
        )

    def EncodeCrops(
        self, request: pb.EncodeCropsRequest, context: grpc.ServicerContext
    ) -> pb.EncodeCropsResponse:
        """Embeds crops."""
        crops = [_crop_input(position, crop) for position, crop in enumerate(request.crops)]
        with _call(context) as call:
            vectors = self._crops.encode(crops, call)
        return pb.EncodeCropsResponse(vectors=matrix_to_proto(vectors, self._card.fingerprint))

    def SelectAndEncode(
        self, request: pb.SelectAndEncodeRequest, context: grpc.ServicerContext
    ) -> pb.SelectAndEncodeResponse:
        """Selects and embeds a photo's patches."""
        with _call(context) as call:
            photo = self._photos.encode(request.image, request.selector, call)
        return pb.SelectAndEncodeResponse(
            width=photo.width,
            height=photo.height,
            patches=[
                pb.SelectedPatch(box=box_to_proto(p.box), level=p.level, score=p.score)
                for p in photo.patches
            ],
            vectors=matrix_to_proto(photo.vectors, self._card.fingerprint),
            warnings=photo.warnings,
            selection=photo.selection,
        )

    def ExplainSelection(
        self, request: pb.ExplainSelectionRequest, context: grpc.ServicerContext
    ) -> pb.ExplainSelectionResponse:
        """Selects a photo's patches and tells why not others."""
        with _call(context) as call:
            photo = self._explainer.explain(
                request.image, request.selector, request.max_windows, call
            )
        return pb.ExplainSelectionResponse(explanation=explanation_message(photo))

    def GetEncoder(
        self, request: pb.GetEncoderRequest, context: grpc.ServicerContext
    ) -> pb.GetEncoderResponse:
        """Tells the model and its limits."""
        return pb.GetEncoderResponse(
            name=self._card.name,
            fingerprint=self._card.fingerprint,
            dim=self._card.dim,
            limits=pb.EncoderLimits(
                max_image_pixels=self._limits.images.max_pixels,
                min_crop_side=self._limits.images.min_side,
                max_batch=self._limits.max_call_items,
                max_text_tokens=self._card.max_text_tokens,
            ),
            device=self._card.device,
            precision=self._card.precision,
            selector=self._selection.selector,
            saliency=self._selection.saliency,
            selectors=self._selection.selectors,
        )


@contextmanager
def _call(context: grpc.ServicerContext) -> Iterator[Call]:
    """The caller's deadline and presence, for as long as its call is worked on."""
    call = Call.lasting(remaining_s(context))
    if not context.add_callback(call.cancel):
        call.cancel()
    yield call


def _crop_input(position: int, crop: pb.CropImage) -> CropInput:
    if not crop.HasField("box"):
        return CropInput(crop.image)
    try:
        return CropInput(crop.image, box_from_proto(crop.box))
    except InvalidArgument as error:
        raise InvalidArgument(
            error.reason,
            f"crop {position}: {error.message}",
            metadata={**error.metadata, "position": str(position)},
        ) from error
