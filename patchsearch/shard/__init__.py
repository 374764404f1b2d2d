"""Internal API of the shards."""
