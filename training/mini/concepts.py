"""What words mean: each concept is a set of scene categories with the phrases that name it."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.scenes import CATEGORIES
from evaluation.scenes.model import ANIMALS, OTHER_SIGNS, PEOPLE, VEHICLES, WARNING_SIGNS


@dataclass(frozen=True)
class Concept:
    """Any of `categories` is an instance. `singular` phrases carry no article."""

    categories: frozenset[str]
    singular: tuple[str, ...]


def _one(category: str, *singular: str) -> Concept:
    return Concept(frozenset({category}), (category.replace("-", " "), *singular))


SINGLE: dict[str, Concept] = {
    concept_category: _one(concept_category, *phrases)
    for concept_category, phrases in {
        "car": ("passenger car", "sedan", "automobile", "hatchback"),
        "van": ("delivery van", "panel van", "minivan", "transporter"),
        "truck": ("lorry", "freight truck", "heavy truck"),
        "bus": ("city bus", "coach", "public bus"),
        "ambulance": (
            "ambulance car",
            "medical vehicle",
            "hospital wagon",
            "rescue ambulance",
            "ambulance van",
            "medical emergency vehicle",
            "paramedic vehicle",
        ),
        "police-car": ("police vehicle", "police patrol car", "cop car"),
        "fire-truck": ("fire engine", "fire brigade truck", "firefighter truck"),
        "taxi": ("cab", "taxi cab"),
        "motorcycle": ("motorbike", "parked motorcycle"),
        "bicycle": ("bike", "parked bicycle"),
        "pedestrian": ("person", "walking person", "person walking", "human on foot"),
        "cyclist": ("person riding a bicycle", "bike rider", "person on a bike"),
        "moose": ("elk", "big moose", "moose with antlers"),
        "deer": ("roe deer", "wild deer"),
        "cow": ("cattle", "farm cow"),
        "horse": ("pony", "brown horse"),
        "sheep": ("lamb", "woolly sheep"),
        "dog": ("pet dog", "hound", "stray dog"),
        "boar": ("wild boar", "wild pig", "hog"),
        "bear": ("brown bear", "wild bear"),
        "fox": ("red fox", "wild fox"),
        "road-narrows-sign": (
            "warning road narrowing traffic sign",
            "traffic sign lane narrows",
            "triangle sign with two lines",
            "road narrowing sign",
            "lane narrows sign",
            "road narrows warning sign",
            "sign showing that the road narrows",
            "traffic sign warning that the road narrows",
            "narrow road sign",
            "sign for a narrowing road",
            "triangular sign with two converging lines",
        ),
        "animal-warning-sign": (
            "wild animals warning sign",
            "deer crossing sign",
            "moose warning sign",
            "triangle sign with an animal",
            "sign warning of animals",
        ),
        "curve-warning-sign": (
            "bend warning sign",
            "dangerous curve sign",
            "sign warning of a bend",
        ),
        "pedestrian-crossing-sign": ("crosswalk sign", "zebra crossing sign"),
        "children-sign": ("children warning sign", "school sign", "sign warning of children"),
        "roadworks-sign": ("construction sign", "road work sign", "sign warning of road works"),
        "slippery-road-sign": ("skid warning sign", "sign warning of a slippery road"),
        "stop-sign": ("red octagonal stop sign", "octagon sign"),
        "yield-sign": ("give way sign", "upside down triangle sign"),
        "no-entry-sign": ("do not enter sign", "red round sign with a white bar"),
        "speed-limit-sign": ("maximum speed sign", "round sign with a number"),
        "no-overtaking-sign": ("no passing sign", "overtaking forbidden sign"),
        "priority-road-sign": ("main road sign", "yellow diamond sign"),
        "parking-sign": ("blue parking sign", "sign with the letter p"),
        "one-way-sign": ("one way street sign", "one way arrow sign"),
        "roundabout-sign": ("traffic circle sign", "blue sign with circling arrows"),
        "direction-sign": ("signpost", "guide sign", "destination sign", "sign with place names"),
        "traffic-light": ("traffic signal", "stop light", "traffic lights"),
        "bin": ("trash can", "rubbish bin", "garbage bin"),
        "cone": ("traffic cone", "orange cone"),
        "bench": ("park bench", "seat"),
        "billboard": ("advertisement", "advertising board", "poster"),
    }.items()
}
"""One concept for each category."""

GROUPS: dict[str, Concept] = {
    "animal": Concept(
        frozenset(ANIMALS), ("animal", "animal on the road", "mammal", "creature", "live animal")
    ),
    "wild-animal": Concept(
        frozenset({"moose", "deer", "boar", "bear", "fox"}),
        ("wild animal", "wild animal on the road", "forest animal", "wildlife"),
    ),
    "farm-animal": Concept(
        frozenset({"cow", "horse", "sheep"}), ("farm animal", "livestock", "grazing animal")
    ),
    "vehicle": Concept(frozenset(VEHICLES), ("vehicle", "motor vehicle", "road vehicle")),
    "emergency": Concept(
        frozenset({"ambulance", "police-car", "fire-truck"}),
        ("emergency vehicle", "vehicle with blue lights", "rescue vehicle"),
    ),
    "large-vehicle": Concept(
        frozenset({"truck", "bus", "fire-truck"}), ("large vehicle", "heavy vehicle")
    ),
    "two-wheeler": Concept(
        frozenset({"motorcycle", "bicycle", "cyclist"}), ("two wheeler", "bike or motorcycle")
    ),
    "person": Concept(frozenset(PEOPLE), ("human", "person on the street", "road user")),
    "sign": Concept(frozenset(WARNING_SIGNS + OTHER_SIGNS), ("traffic sign", "road sign", "sign")),
    "warning-sign": Concept(
        frozenset(WARNING_SIGNS),
        ("warning sign", "triangular sign", "triangle sign", "warning traffic sign"),
    ),
    "anything": Concept(
        frozenset(CATEGORIES) - {"bin", "bench", "cone", "billboard"}, ("object", "road object")
    ),
}
"""Words for several categories at once."""

TARGETS: tuple[Concept, ...] = (
    SINGLE["ambulance"],
    GROUPS["animal"],
    SINGLE["road-narrows-sign"],
)
"""What the demo searches for: named in every batch."""
