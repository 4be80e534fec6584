"""Without this file there would be no `python -m sweeps`."""

from sweeps.app import main

if __name__ == "__main__":
    main()
