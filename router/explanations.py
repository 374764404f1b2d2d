"""Which patches a photo would get, and why: asked of the encoder for the caller."""

from __future__ import annotations

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.errors import InvalidArgument
from patchsearch.v1 import search_service_pb2
from patchsearch.v1.selection_pb2 import SelectionExplanation
from router.call_scope import CallScope
from router.encoder_away import naming_the_encoder
from router.pressure import SearchPressure


class SelectionExplainer:
    """Passes photos on to the encoder. Thread-safe."""

    def __init__(self, encoder: EncoderServiceStub, pressure: SearchPressure) -> None:
        self._encoder = encoder
        self._pressure = pressure

    def explain(
        self, request: search_service_pb2.ExplainSelectionRequest, scope: CallScope
    ) -> SelectionExplanation:
        """The encoder's explanation.

        Raises what the encoder raises about photo, selector and number of windows, Unavailable
        ENCODER_UNAVAILABLE where it does not answer, and ResourceExhausted OVERLOADED where there
        is no place for photos, here or there.
        """
        if not request.content:
            raise InvalidArgument(
                "IMAGE_UNDECODABLE", "content is 0 bytes; send a JPEG, PNG or WebP"
            )
        asked = encoder_service_pb2.ExplainSelectionRequest(
            image=request.content, selector=request.selector, max_windows=request.max_windows
        )
        with self._pressure.streaming(), naming_the_encoder():
            return scope.call(self._encoder.ExplainSelection, asked).explanation
