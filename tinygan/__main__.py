"""python -m tinygan: the same as the command tinygan."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
