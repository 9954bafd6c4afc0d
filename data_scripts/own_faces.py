"""Your own faces to the prepared format: the same as ``eacbook prepare own``."""

from eacbook.data.prepare import run_script

if __name__ == "__main__":
    run_script("own")
