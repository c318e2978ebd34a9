"""MFR Kit's command line: `python kit.py --help`."""

import sys

from mfr_kit.cli import main

if __name__ == "__main__":
    sys.exit(main())
