"""``python -m kaizen_nexus``: the ``nexus`` program."""

import sys

from kaizen_nexus.console.main import main

if __name__ == "__main__":
    sys.exit(main())
