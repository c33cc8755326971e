"""Models under test: who answers a suite's cases, and the answers."""

from evalsvc.generation.values import Answer, Generator, Request

__all__ = ["Answer", "Generator", "Request"]
