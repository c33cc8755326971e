"""Fitting detectors to labelled rows: reading them, folds, what is measured on held-out rows, and the report.

The training itself is behind :class:`~evalsvc.fitting.values.Trainer`.
"""
