"""Texts that are predicates: of every text it is known of which patch it is true.

A text is a conjunction of terms. The truth of a text is 1 (true), 0 (false) or 0.5 where a
patch shows too little of an object to be praised or blamed for it: such pairs are left out of the
loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.mini.concepts import GROUPS, SINGLE, TARGETS, Concept

INSIDE, COVER = 0.5, 0.05
"""An object with these shares is shown (the rule of `evaluation.relevance`)."""

MAYBE_INSIDE, MAYBE_COVER = 0.4, 0.035
"""An object below one of these shares is not shown; between the two pairs it is undecided."""

TEMPLATES = (
    "{}",
    "{}",
    "{}",
    "a photo of {}",
    "a picture of {}",
    "a crop of {}",
    "a street with {}",
    "there is {}",
    "{} on the road",
    "{} by the road",
    "{} in traffic",
    "a driving photo with {}",
    "an image showing {}",
    "a small {0}",
    "a large {0}",
    "find {}",
    "a close up of {}",
)

COLOURED = ("colour", "color")

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "clear": ("a clear day", "fine weather"),
    "sunny": ("a sunny day", "sunny weather", "sunshine"),
    "overcast": ("an overcast day", "a cloudy sky", "grey weather"),
    "cloudy": ("a cloudy day", "an overcast sky", "grey weather"),
    "rain": ("rain", "a rainy day", "rainy weather", "a wet road"),
    "fog": ("fog", "a foggy day", "mist"),
    "snow": ("snow", "a snowy day", "winter", "a snowy road"),
    "day": ("daylight", "day", "daytime"),
    "dusk": ("dusk", "evening", "twilight", "sunset"),
    "night": ("night", "the dark", "nighttime"),
    "dawn": ("dawn", "early morning"),
    "city": ("a city", "town", "an urban street", "a city street with buildings"),
    "urban": ("a city", "town", "an urban street", "a city street with buildings"),
    "suburb": ("a suburb", "a residential street", "houses"),
    "rural": ("the countryside", "a country road", "fields"),
    "country": ("the countryside", "a country road", "fields"),
    "forest": ("a forest", "trees", "a forest road", "the woods"),
    "highway": ("a highway", "a motorway"),
    "motorway": ("a highway", "a motorway"),
}
"""Words for the values of a scene's weather, light and place."""


@dataclass(frozen=True)
class Has:
    """The patch shows an object of the concept (of the colour, if one is given)."""

    concept: Concept
    colour: str | None = None


@dataclass(frozen=True)
class Setting:
    """The scene has this weather, light or place."""

    key: str
    value: str


@dataclass(frozen=True)
class Empty:
    """The patch shows no object at all."""


@dataclass(frozen=True)
class Caption:
    """A text, true of the patches of which all terms are."""

    text: str
    terms: tuple[Has | Setting | Empty, ...]


@dataclass(frozen=True)
class Contents:
    """What the patches of a batch show: one row per object, sorted by patch.

    `patch (m,) int`, `category (m,) str`, `colour (m,) str` ("" if none), `state (m,)` 0, 0.5 or 1
    (not shown, undecided, shown), `cover (m,)` share of the patch; `settings` one mapping a patch.
    """

    patch: NDArray[np.int64]
    category: NDArray[np.str_]
    colour: NDArray[np.str_]
    state: NDArray[np.float32]
    cover: NDArray[np.float32]
    settings: tuple[Mapping[str, str], ...]


def states(inside: NDArray[np.float32], cover: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shown (1), undecided (0.5) or not shown (0), from the share of the object that lies in the
    patch and the share of the patch that it covers."""
    shown = (inside >= INSIDE) & (cover >= COVER)
    maybe = (inside >= MAYBE_INSIDE) & (cover >= MAYBE_COVER)
    return np.where(shown, 1.0, np.where(maybe, 0.5, 0.0)).astype(np.float32)


def truth(captions: Sequence[Caption], contents: Contents) -> NDArray[np.float32]:
    """`(captions, patches)` of 0, 0.5 and 1: the least of the terms' values."""
    memo: dict[Has | Setting | Empty, NDArray[np.float32]] = {}
    rows = []
    for caption in captions:
        for term in caption.terms:
            if term not in memo:
                memo[term] = _term(term, contents)
        rows.append(np.minimum.reduce([memo[term] for term in caption.terms]))
    return np.stack(rows)


def _term(term: Has | Setting | Empty, contents: Contents) -> NDArray[np.float32]:
    out = np.zeros(len(contents.settings), np.float32)
    match term:
        case Setting(key, value):
            out[:] = [settings.get(key) == value for settings in contents.settings]
        case Empty():
            np.maximum.at(out, contents.patch, contents.state)
            out = 1 - out
        case Has(concept, colour):
            hit = np.isin(contents.category, list(concept.categories))
            if colour is not None:
                hit &= contents.colour == colour
            np.maximum.at(out, contents.patch[hit], contents.state[hit])
    return out


def article(phrase: str) -> str:
    """The phrase with "a" or "an"."""
    return (
        "an " if phrase[:1] in "aeiou" and not phrase.startswith(("one", "u")) else "a "
    ) + phrase


class Captioner:
    """Makes texts about patches. Not thread-safe: holds the random state."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._groups_of: dict[str, list[Concept]] = {
            category: [c for c in GROUPS.values() if category in c.categories]
            for category in SINGLE
        }

    def batch(self, contents: Contents, count: int) -> list[Caption]:
        """`count` texts: the targets in several wordings, the rest about random patches."""
        fixed = [self._named(c) for c in TARGETS for _ in range(4)]
        fixed += [self._named(c) for c in GROUPS.values()]
        fixed += [self._nothing(), self._nothing()]
        shown = np.flatnonzero(contents.state == 1)
        patches = len(contents.settings)
        while len(fixed) < count:
            roll = self._rng.random()
            if len(shown) and roll < 0.85:
                row = int(shown[self._rng.integers(len(shown))])
                fixed.append(self._about(contents, row))
            else:
                settings = contents.settings[int(self._rng.integers(patches))]
                fixed.append(self._setting_only(settings))
        return fixed

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]

    def _phrase(self, concept: Concept) -> str:
        first = self._rng.random() < 0.4
        return concept.singular[0] if first else self._pick(concept.singular)

    def _noun(self, concept: Concept, colour: str | None = None) -> str:
        phrase = self._phrase(concept)
        return f"{colour} {phrase}" if colour else phrase

    def _dress(self, noun: str) -> str:
        template = self._pick(TEMPLATES)
        if "{0}" in template:
            return template.format(noun)
        return template.format(noun if self._rng.random() < 0.2 else article(noun))

    def _named(self, concept: Concept) -> Caption:
        return Caption(self._dress(self._noun(concept)), (Has(concept),))

    def _nothing(self) -> Caption:
        words = (
            "nothing",
            "an empty road",
            "background",
            "no objects",
            "an empty scene",
            "plain background",
            "nothing of interest",
            "no traffic",
            "asphalt",
            "an empty street",
        )
        return Caption(self._pick(words), (Empty(),))

    def _about(self, contents: Contents, row: int) -> Caption:
        category = str(contents.category[row])
        colour = str(contents.colour[row])
        roll = self._rng.random()
        concept = SINGLE[category]
        if roll < 0.2:
            groups = self._groups_of[category]
            concept = groups[int(self._rng.integers(len(groups)))] if groups else concept
        if colour and roll > 0.6:
            return Caption(self._dress(self._noun(concept, colour)), (Has(concept, colour),))
        if 0.2 < roll < 0.28:
            return self._with_setting(concept, contents.settings[int(contents.patch[row])])
        if 0.28 < roll < 0.34:
            return self._pair(contents, row, concept)
        return self._named(concept)

    def _with_setting(self, concept: Concept, settings: Mapping[str, str]) -> Caption:
        key, words = self._setting(settings)
        if not words:
            return self._named(concept)
        text = f"{article(self._noun(concept))} {self._pick(('in', 'at', 'with'))} {words}"
        return Caption(text, (Has(concept), Setting(key, settings[key])))

    def _pair(self, contents: Contents, row: int, concept: Concept) -> Caption:
        same = np.flatnonzero((contents.patch == contents.patch[row]) & (contents.state == 1))
        other = SINGLE[str(contents.category[self._rng.choice(same)])]
        if other.categories & concept.categories:
            return self._named(concept)
        joint = self._pick(("and", "near", "next to", "beside", "with"))
        text = f"{article(self._noun(concept))} {joint} {article(self._noun(other))}"
        return Caption(text, (Has(concept), Has(other)))

    def _setting(self, settings: Mapping[str, str]) -> tuple[str, str]:
        known = [key for key, value in settings.items() if value in SETTINGS]
        if not known:
            return "", ""
        key = self._pick(known)
        return key, self._pick(SETTINGS[settings[key]])

    def _setting_only(self, settings: Mapping[str, str]) -> Caption:
        key, words = self._setting(settings)
        if not words:
            return self._nothing()
        term = Setting(key, settings[key])
        if self._rng.random() < 0.3:
            return Caption(f"an empty road in {words}", (Empty(), term))
        return Caption(self._pick(("{}", "a street in {}", "a photo of {}")).format(words), (term,))
