"""`python -m ensemble_1d` is the command `ensemble-1d`."""

import sys

from ensemble_1d.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
