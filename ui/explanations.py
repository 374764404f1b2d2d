"""Explained selections: asked for once, kept while somebody looks at them."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from PIL import Image

from patchsearch.errors import NotFound
from patchsearch.explanation import SelectionExplanation

_KEPT = 8
_GLOW = (255, 96, 0)
_STRONGEST = 190

Explain = Callable[[bytes, str], Coroutine[Any, Any, SelectionExplanation]]
"""Explains the selection in a photo's content by a selector, the default where it is empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """An explanation, the key under which it is kept, and SHA-256 of the photo it is of."""

    key: str
    digest: bytes
    told: SelectionExplanation


class Explanations:
    """The last few explanations; for one event loop."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._kept: OrderedDict[str, Explained] = OrderedDict()

    async def of(self, content: bytes, selector: str) -> Explained:
        """The explanation for a photo's content; raises what `Client.explain_selection` raises."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).digest())
        key = hashlib.blake2b(digest + selector.encode(), digest_size=16).hexdigest()
        if key not in self._kept:
            self._kept[key] = Explained(key, digest, await self._explain(content, selector))
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def saliency_png(self, key: str, region: int) -> bytes:
        """The saliency map of a region, as the server told it.

        Raises NotFound EXPLANATION_GONE for one that is not kept any more or never had a map.
        """
        found = self._kept.get(key)
        if found is None or not 0 <= region < len(found.told.regions):
            raise NotFound("EXPLANATION_GONE", "the explanation is not kept any more; load it anew")
        png = found.told.regions[region].saliency_png
        if not png:
            raise NotFound("EXPLANATION_GONE", "there is no saliency map of this region")
        return png


def glowing(saliency_png: bytes) -> bytes:
    """A saliency map to be laid over its photo: clear where it is dull, a strong orange where the
    eye goes. PNG with alpha."""
    with Image.open(io.BytesIO(saliency_png), formats=("PNG",)) as image:
        dull_to_salient = image.convert("L")
    # Bent upwards: the low values on which thresholds decide are seen, too.
    alpha = dull_to_salient.point([round(_STRONGEST * (v / 255) ** 0.7) for v in range(256)])
    over = Image.new("RGBA", dull_to_salient.size, _GLOW)
    over.putalpha(alpha)
    buffer = io.BytesIO()
    over.save(buffer, format="PNG")
    return buffer.getvalue()
