"""The web page: search, look, judge, export; over the client library only."""
