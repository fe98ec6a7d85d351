"""The core against its twin, the original and the best libraries: operations, load, growth."""
