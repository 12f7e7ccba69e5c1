"""`python -m helpers --help`: what make does, also where there is no make."""

import sys

try:
    from helpers.commands.cli import main
except ModuleNotFoundError as error:
    cure = "python -m pip install -r requirements.txt, in an environment of your own (README)"
    sys.exit(f"FAILED the package {error.name} is missing in {sys.executable}: {cure}")

if __name__ == "__main__":
    sys.exit(main())
