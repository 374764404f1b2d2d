"""The error for a filter index that cannot be trusted."""

from __future__ import annotations

from patchsearch.errors import DataLoss


class FiltersDamaged(DataLoss):
    """A value of the filter index fails its checksum.

    Nothing is lost: the index is derived from the image records, and the operation
    `RebuildFilters` makes it anew. Until then no condition is answered from the damaged value.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(
            "STORE_CORRUPT",
            f"the filter index is damaged at key {key.hex()}; it is rebuilt from the images, ask "
            "again in a moment",
        )
        self.key = key
