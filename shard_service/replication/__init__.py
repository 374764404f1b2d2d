"""Replicas of a partition: compared by digests, copied, repaired, split."""
