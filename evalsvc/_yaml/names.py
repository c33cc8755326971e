"""Names of environment variables in a file, where the value itself does not belong."""

from __future__ import annotations

import re

from evalsvc._yaml.values import Section

ENV_NAME = r"[A-Z_][A-Z0-9_]*"
_ENV_HINT = "put the value in the environment and its variable's name here"


def read_env_name(section: Section, key: str, default: str = "") -> str:
    """Return the name of a variable. What is no name may be the secret itself, and is not shown."""
    value = section.get(key)
    if value is None:
        return default
    name = "" if value.is_list or value.is_mapping or value.is_null else str(value.node.value)
    if not (name and re.fullmatch(ENV_NAME, name)):
        value.expected("the name of an environment variable, in capitals", _ENV_HINT, secret=True)
    return name
