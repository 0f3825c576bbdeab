"""python -m training COMMAND: fetch images, train networks, package and check the results."""

import os
import sys

from training.cli import main
from training.engine.distributed import launched_replicas

if __name__ == "__main__":
    code = main()
    if launched_replicas() > 1:
        # The threads of torch's process group outlive it, and on a busy machine can abort the end of the interpreter.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
