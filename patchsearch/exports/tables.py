"""Sets and hits as pandas frames; pandas is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from patchsearch.errors import FailedPrecondition
from patchsearch.exports.csv_table import COLUMNS, item_of_row, row_of
from patchsearch.exports.items import SetItem, item_of
from patchsearch.results import Hit

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(items: Iterable[SetItem]) -> pd.DataFrame:
    """A frame of one row an item, with the columns of `csv_table.COLUMNS`.

    `metadata` holds dictionaries, `score` NaN where there is none. Raises FailedPrecondition
    EXTRA_MISSING without pandas.
    """
    rows = [{**row_of(item), "metadata": dict(item.metadata)} for item in items]
    return _pandas().DataFrame(rows, columns=list(COLUMNS)).astype({"score": "float64"})


def hits_to_pandas(hits: Sequence[Hit]) -> pd.DataFrame:
    """A frame of one row a hit: where it is, `score`, `score_kind`, `level`, `metadata`.

    Raises FailedPrecondition EXTRA_MISSING without pandas.
    """
    frame = to_pandas(item_of(hit) for hit in hits).drop(columns=["label", "verdict"])
    frame.insert(9, "score_kind", [hit.score_kind for hit in hits])
    frame.insert(10, "level", [hit.level for hit in hits])
    return frame


def from_pandas(frame: pd.DataFrame) -> list[SetItem]:
    """The items of a frame with such columns; raises ValueError or KeyError for another."""
    items = []
    for row in frame.to_dict("records"):
        score, metadata = row.get("score"), row.get("metadata")
        texts = {str(key): value for key, value in row.items() if key not in ("score", "metadata")}
        item = item_of_row(texts)
        items.append(
            SetItem(
                image_id=item.image_id,
                uri=item.uri,
                width=item.width,
                height=item.height,
                box=item.box,
                # NaN is the only number that differs from itself.
                score=None if score is None or score != score else float(score),
                label=item.label,
                verdict=item.verdict,
                metadata=metadata if isinstance(metadata, dict) else {},
            )
        )
    return items


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", "frames need pandas: pip install 'patchsearch[pandas]'"
        ) from error
    return pandas
