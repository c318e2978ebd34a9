"""`python -m mfr_kit`: the command line of an installed kit."""

import sys

from mfr_kit.cli import main

if __name__ == "__main__":
    sys.exit(main())
