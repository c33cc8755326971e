"""What is published holds the library, whole, and nothing but the library."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.installed_wheel import CHECKOUT, build, install
