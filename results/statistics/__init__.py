"""Seed noise and comparisons as pure functions of arrays: no file, no plot, no opinion about what to run next.

Start with `blocks.py`: the model that all others share.
"""
