"""Where the compiled modules land; their sources are in the repository's ``_core/`` folder."""
