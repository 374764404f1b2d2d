"""One adapter for each engine that can be measured; each imports its library when it is loaded."""
