"""Without this file there would be no `python -m torchvitals`."""

import sys

from torchvitals.cli import main

if __name__ == "__main__":
    sys.exit(main())
