"""`python -m nqm`."""

import sys

from nqm.cli import main

sys.exit(main())
