"""An explained photo as the message that tells of it."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from encoder_service.explaining import ExplainedPhoto
from patch_selection import Decision, RegionLook, Rule, WindowFate, quantise
from patchsearch.v1 import selection_pb2 as pb
from patchsearch.wire.vectors import box_to_proto

_MAX_MAP_SIDE = 512
_DECISIONS: Mapping[Decision, pb.WindowDecision.ValueType] = {
    Decision.KEPT: pb.WINDOW_DECISION_CHOSEN,
    Decision.BELOW_AVERAGE: pb.WINDOW_DECISION_BELOW_THRESHOLD,
    Decision.OVERLAPPED: pb.WINDOW_DECISION_OUTSCORED,
    Decision.BEYOND_K: pb.WINDOW_DECISION_BEYOND_NUMBER,
    Decision.TAKEN: pb.WINDOW_DECISION_CHOSEN_ELSEWHERE,
}
_RULES: Mapping[Rule, pb.SelectionRule.ValueType] = {
    Rule.SCORES: pb.SELECTION_RULE_SCORES,
    Rule.SCORES_WITHOUT_THRESHOLD: pb.SELECTION_RULE_SCORES_WITHOUT_THRESHOLD,
    Rule.EVENLY: pb.SELECTION_RULE_EVENLY,
    Rule.NOTHING: pb.SELECTION_RULE_NOTHING,
    Rule.ALL: pb.SELECTION_RULE_ALL,
    Rule.WHOLE_PHOTO: pb.SELECTION_RULE_WHOLE_PHOTO,
}


def explanation_message(photo: ExplainedPhoto) -> pb.SelectionExplanation:
    """The message; its saliency maps are the very bytes that windows were scored on, where the
    model's maps have no more than 512 px."""
    explanation = photo.explanation
    return pb.SelectionExplanation(
        width=photo.width,
        height=photo.height,
        selection=photo.selection,
        regions=[_region(look) for look in explanation.looks],
        windows=[_window(fate) for fate in explanation.windows],
        counts=[
            pb.DecisionCount(level=level, decision=_DECISIONS[decision], windows=count)
            for (level, decision), count in sorted(explanation.counts.items())
        ],
        warnings=explanation.selection.warnings,
        decode_ms=photo.decode_ms,
        select_ms=photo.select_ms,
    )


def _region(look: RegionLook) -> pb.ExplainedRegion:
    return pb.ExplainedRegion(
        box=box_to_proto(look.box),
        level=look.level,
        rule=_RULES[look.found.rule],
        min_average=look.rules.min_average,
        max_patches=look.rules.k,
        max_overlap=look.rules.max_overlap,
        saliency_png=_map_png(look),
    )


def _window(fate: WindowFate) -> pb.ExplainedWindow:
    return pb.ExplainedWindow(
        box=box_to_proto(fate.box),
        level=fate.level,
        region=fate.region,
        decision=_DECISIONS[fate.decision],
        score=fate.score,
        average=fate.average,
        overlap=fate.overlap,
        rival=None if fate.rival is None else box_to_proto(fate.rival),
    )


def _map_png(look: RegionLook) -> bytes:
    if look.saliency_map is None:
        return b""
    pixels = quantise(look.saliency_map)
    rows, columns = pixels.shape
    scale = _MAX_MAP_SIDE / max(rows, columns)
    if scale < 1:
        size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, encoded = cv2.imencode(".png", pixels)
    return encoded.tobytes()
