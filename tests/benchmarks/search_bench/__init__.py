"""What `search_quality.py` is made of: problems with a known truth, strategies, metrics, tables."""
