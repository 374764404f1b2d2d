"""The truth of a partition: images and patches in LMDB."""
