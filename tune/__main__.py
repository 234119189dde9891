"""`python -m tune`: the command line `landslide-tune`, for places where the script is not on the path."""

from __future__ import annotations

from tune.cli import main

if __name__ == "__main__":
    main(prog_name="landslide-tune")
