"""Internal API of the cluster's operations."""
