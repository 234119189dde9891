"""The experiment: declares a sweep, runs its trials on Ray or in process, and records every epoch.

The only package that knows the other three, and the only one that imports Ray
(always as ``from ray import tune as ray_tune``: this package is `tune`).
"""
