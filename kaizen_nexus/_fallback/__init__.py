"""The pure-Python twin of each compiled module: same names, same behaviour, same error messages."""
