"""The programs that are measured, each started by its path in a process of its own."""
