"""Detectors of our own: adapters and heads on the encoder's trunk, read pairs or single texts, and say where.

Importing this package loads no torch; loading a detector does.
"""
