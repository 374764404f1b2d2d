"""Explained selections: calls -> request messages, response messages -> results."""

from __future__ import annotations

from collections.abc import Mapping

from patchsearch.errors import InvalidArgument
from patchsearch.explanation import (
    ExplainedRegion,
    ExplainedWindow,
    SelectionExplanation,
    SelectionRule,
    WindowDecision,
)
from patchsearch.pixels import Pixels, encoded_pixels
from patchsearch.v1 import search_service_pb2, selection_pb2
from patchsearch.wire.vectors import box_from_proto

MAX_WINDOWS = 10_000
"""Windows that one call can ask for."""

_DECISIONS: Mapping[int, WindowDecision] = {
    selection_pb2.WINDOW_DECISION_CHOSEN: WindowDecision.CHOSEN,
    selection_pb2.WINDOW_DECISION_BELOW_THRESHOLD: WindowDecision.BELOW_THRESHOLD,
    selection_pb2.WINDOW_DECISION_OUTSCORED: WindowDecision.OUTSCORED,
    selection_pb2.WINDOW_DECISION_BEYOND_NUMBER: WindowDecision.BEYOND_NUMBER,
    selection_pb2.WINDOW_DECISION_CHOSEN_ELSEWHERE: WindowDecision.CHOSEN_ELSEWHERE,
}
_RULES: Mapping[int, SelectionRule] = {
    selection_pb2.SELECTION_RULE_SCORES: SelectionRule.SCORES,
    selection_pb2.SELECTION_RULE_SCORES_WITHOUT_THRESHOLD: SelectionRule.SCORES_WITHOUT_THRESHOLD,
    selection_pb2.SELECTION_RULE_EVENLY: SelectionRule.EVENLY,
    selection_pb2.SELECTION_RULE_NOTHING: SelectionRule.NOTHING,
    selection_pb2.SELECTION_RULE_ALL: SelectionRule.ALL,
    selection_pb2.SELECTION_RULE_WHOLE_PHOTO: SelectionRule.WHOLE_PHOTO,
}


def explain_request(
    photo: Pixels, selector: str, max_windows: int
) -> search_service_pb2.ExplainSelectionRequest:
    """The message that asks for an explanation; reads the file that `photo` names.

    Raises InvalidArgument MAX_WINDOWS_OUT_OF_RANGE, FILE_UNREADABLE and PIXELS_INVALID.
    """
    if not 1 <= max_windows <= MAX_WINDOWS:
        raise InvalidArgument(
            "MAX_WINDOWS_OUT_OF_RANGE",
            f"max_windows is {max_windows}; ask for 1 to {MAX_WINDOWS} windows",
        )
    return search_service_pb2.ExplainSelectionRequest(
        content=encoded_pixels(photo), selector=selector, max_windows=max_windows
    )


def selection_explanation(
    message: search_service_pb2.ExplainSelectionResponse,
) -> SelectionExplanation:
    """The explanation of one photo."""
    told = message.explanation
    return SelectionExplanation(
        width=told.width,
        height=told.height,
        selection=told.selection,
        regions=tuple(_region(region) for region in told.regions),
        windows=tuple(_window(window) for window in told.windows),
        counts={(one.level, _decision(one.decision)): one.windows for one in told.counts},
        warnings=tuple(told.warnings),
        decode_ms=told.decode_ms,
        select_ms=told.select_ms,
    )


def _decision(number: int) -> WindowDecision:
    return _DECISIONS.get(number, WindowDecision.UNKNOWN)


def _region(message: selection_pb2.ExplainedRegion) -> ExplainedRegion:
    return ExplainedRegion(
        box=box_from_proto(message.box),
        level=message.level,
        rule=_RULES.get(message.rule, SelectionRule.UNKNOWN),
        min_average=message.min_average if message.HasField("min_average") else None,
        max_patches=message.max_patches if message.HasField("max_patches") else None,
        max_overlap=message.max_overlap if message.HasField("max_overlap") else None,
        saliency_png=message.saliency_png,
    )


def _window(message: selection_pb2.ExplainedWindow) -> ExplainedWindow:
    return ExplainedWindow(
        box=box_from_proto(message.box),
        level=message.level,
        region=message.region,
        decision=_decision(message.decision),
        score=message.score,
        average=message.average,
        overlap=message.overlap,
        rival=box_from_proto(message.rival) if message.HasField("rival") else None,
    )
