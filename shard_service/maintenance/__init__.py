"""What a partition does in the background."""
