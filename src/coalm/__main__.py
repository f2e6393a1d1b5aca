"""`python -m coalm`: the command line, wherever the package can be imported."""

import sys

from coalm.cli import main

if __name__ == "__main__":
    sys.exit(main())
