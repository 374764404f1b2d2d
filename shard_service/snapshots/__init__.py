"""Copies of partitions: taken while writes go on, restored into a data directory."""
