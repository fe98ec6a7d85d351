"""The harness is no part of the installed package; what it measures is."""

from __future__ import annotations

import sys
from pathlib import Path

# Last, so that the installed package is found before the checkout's.
sys.path.append(str(Path(__file__).resolve().parents[3]))
