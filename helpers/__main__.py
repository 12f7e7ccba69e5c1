"""`python -m helpers --help`: what make does, also where there is no make."""

import sys

from helpers.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
