"""From a query vector to ranked rows: candidates, exact scores, order, dedup."""
