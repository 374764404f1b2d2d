"""Whether a data directory holds what was written, and what to make of it when it does not."""
