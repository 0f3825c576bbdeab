"""python -m training COMMAND: fetch images, train networks, package and check the results."""

import sys

from training.cli import main

if __name__ == "__main__":
    sys.exit(main())
