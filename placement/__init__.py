"""Which shards hold which hash range: the document, and the stores that it is kept in."""
