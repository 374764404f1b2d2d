"""Runs of a partition's rows: the growing one in memory, sealed ones in files."""
