"""Build the compiled core; everything declarative is in pyproject.toml."""

from __future__ import annotations

import os

from setuptools import Extension, setup

MODULES = ("cache_key", "latency_histogram", "session_table")

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
    "embedsignature.format": "python",
}


def extensions() -> list[Extension]:
    """Return the compiled modules, translated by Cython at build time."""
    from Cython.Build import cythonize

    linetrace = os.environ.get("KAIZEN_NEXUS_LINETRACE") == "1"
    sources = [
        Extension(
            f"kaizen_nexus._core.{name}",
            [f"_core/{name}.pyx"],
            define_macros=[("CYTHON_TRACE_NOGIL", "1")] if linetrace else [],
        )
        for name in MODULES
    ]
    cythonized: list[Extension] = cythonize(
        sources,
        build_dir="build/cython",
        include_path=["_core"],
        compiler_directives={**DIRECTIVES, "linetrace": linetrace},
    )
    return cythonized


setup(
    ext_modules=extensions(),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
