"""Operators' YAML files, read strictly: every mistake is kept with its place, none stops the reading.

A reader asks a :class:`Section` for the keys that it knows. What it asks for wrongly typed becomes a problem
and its default; what nobody asked for becomes a problem when the document is finished. Values are read as
written: where text is expected, ``no`` is the text *no* and ``1.10`` the text *1.10*, whatever YAML 1.1 makes
of them.
"""

from evalsvc._yaml.document import MAX_BYTES, Document, raise_problems
from evalsvc._yaml.names import read_env_name
from evalsvc._yaml.values import Section, Value

__all__ = ["MAX_BYTES", "Document", "Section", "Value", "raise_problems", "read_env_name"]
