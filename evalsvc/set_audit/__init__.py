"""Is a set of cases fit for what it is to show? Size, balance, edge cases, duplicates, labels, and traffic."""

from evalsvc.set_audit.audit import audit
from evalsvc.set_audit.values import Finding, Pick, SetAudit, Wish

__all__ = ["Finding", "Pick", "SetAudit", "Wish", "audit"]
