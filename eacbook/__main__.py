"""``python -m eacbook`` is the ``eacbook`` command."""

import sys

from eacbook.cli import main

sys.exit(main())
