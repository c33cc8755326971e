"""``python -m evalsvc`` is the command ``evalsvc``."""

import sys

from evalsvc.cli import main

sys.exit(main())
