"""Why a window is a patch or is none, in words."""

from __future__ import annotations

from patchsearch.explanation import (
    ExplainedRegion,
    ExplainedWindow,
    SelectionRule,
    WindowDecision,
)

NAMES = {
    WindowDecision.CHOSEN: "chosen",
    WindowDecision.OUTSCORED: "overlaps a better one",
    WindowDecision.BELOW_THRESHOLD: "below the threshold",
    WindowDecision.BEYOND_NUMBER: "beyond the number of patches",
    WindowDecision.CHOSEN_ELSEWHERE: "chosen in another region",
    WindowDecision.UNKNOWN: "for a reason unknown to this page",
}
"""A few words for each decision, in the order in which they are shown."""


def reason(window: ExplainedWindow, region: ExplainedRegion) -> str:
    """One sentence on the fate of a window of a region."""
    match window.decision:
        case WindowDecision.CHOSEN:
            return _why_chosen(region)
        case WindowDecision.BELOW_THRESHOLD:
            return f"its average {window.average:.3f} is below the threshold {_number(region)}"
        case WindowDecision.OUTSCORED:
            return _why_outscored(window, region)
        case WindowDecision.BEYOND_NUMBER:
            return _why_beyond(region)
        case WindowDecision.CHOSEN_ELSEWHERE:
            return "it is a patch already, chosen in another region that overlaps this one"
        case WindowDecision.UNKNOWN:
            return "the server gives a reason that this page does not know; update it"


def rules(region: ExplainedRegion) -> str:
    """The limits of a region's level, in words."""
    limits = []
    if region.min_average is not None:
        limits.append(f"average at least {region.min_average:g}")
    if region.max_patches is not None:
        limits.append(f"at most {region.max_patches} patches in a region")
    if region.max_overlap is not None:
        limits.append(f"at most {100 * region.max_overlap:.0f} % overlap")
    return ", ".join(limits) or "no limits: every window is a patch"


def _number(region: ExplainedRegion) -> str:
    return "" if region.min_average is None else f"{region.min_average:g}"


def _why_outscored(window: ExplainedWindow, region: ExplainedRegion) -> str:
    rival = window.rival
    where = "a patch" if rival is None else f"the patch at {rival.x}, {rival.y} ({rival.w} px)"
    limit = "" if region.max_overlap is None else f"; the limit is {100 * region.max_overlap:.0f} %"
    return f"{100 * window.overlap:.1f} % in common with {where}, which ranks higher{limit}"


def _why_chosen(region: ExplainedRegion) -> str:
    match region.rule:
        case SelectionRule.SCORES_WITHOUT_THRESHOLD:
            return "among the best; no window reached the threshold, so it was left aside"
        case SelectionRule.EVENLY:
            return "spread evenly: the saliency map says nothing"
        case SelectionRule.ALL:
            return "every window of this level is a patch"
        case SelectionRule.WHOLE_PHOTO:
            return "no window fits in the photo, which is one patch"
        case _:
            return "ranks higher than every window that it overlaps too much"


def _why_beyond(region: ExplainedRegion) -> str:
    match region.rule:
        case SelectionRule.NOTHING:
            return "the saliency map of its region says nothing, so no window of it is a patch"
        case SelectionRule.EVENLY:
            return "patches were spread evenly, and this was not one of the places"
        case _:
            most = "as many" if region.max_patches is None else f"{region.max_patches}"
            return f"{most} patches that rank higher were chosen in its region before it"
