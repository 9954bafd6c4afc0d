"""AffectNet to the prepared format: the same as ``eacbook prepare affectnet``."""

from eacbook.data.prepare import run_script

if __name__ == "__main__":
    run_script("affectnet")
