"""`python -m helpers --help`: what make does, also where there is no make."""

import sys

from helpers.commands.runner import main

if __name__ == "__main__":
    sys.exit(main())
