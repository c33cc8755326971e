"""Suites and gates: may this model version ship? PASS, FAIL or INCONCLUSIVE.

Nothing is imported here, so that the pytest plugin costs nothing until it is used.
"""
