"""The command ``python -m figures``."""

import sys

from figures.engine.command import main

if __name__ == "__main__":
    sys.exit(main())
