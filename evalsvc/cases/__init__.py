"""Cases of suites: values, reading and writing them."""

from evalsvc.cases.reading import read_cases, write_cases
from evalsvc.cases.values import Case, CaseChanges, CaseSet, ToolCall, changes, digest_of

__all__ = ["Case", "CaseChanges", "CaseSet", "ToolCall", "changes", "digest_of", "read_cases", "write_cases"]
