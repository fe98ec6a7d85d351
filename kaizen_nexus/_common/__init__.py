"""What both implementations of the core share: checks of arguments, messages, binary formats."""
