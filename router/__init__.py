"""The public door of a collection: composes queries, fans out, merges, takes images in."""
