"""What operators do to a running cluster: shards added and removed, partitions moved."""
