"""How rows get to disk and to a bucket, and survive: write-ahead log, parts, uploads. Behind `results.store`."""
