"""The benchmark harness: every figure that the documentation states is printed from here."""
