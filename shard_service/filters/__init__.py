"""The filter index of a partition: which images meet a condition, from bitmaps in LMDB."""
