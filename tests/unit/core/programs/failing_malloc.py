"""Run a program on a malloc that fails when told to: failing_malloc.py PROGRAM [ARGUMENT ...].

The program steers it through `FailingMalloc`. With PYTHONMALLOC=malloc it also gives the
interpreter's objects their memory, and numpy takes that of its arrays from it in any case. Mapping
memory, as the session table does, fails likewise. It fails only in the thread that asked for that.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PER_THREAD static __thread __attribute__((tls_model("initial-exec")))

PER_THREAD long granted, refusals, refused, asked;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);

static int found(void)
{
    static __thread __attribute__((tls_model("initial-exec"))) int searching;
    if (next_realloc)
        return 1;
    if (searching)  /* the search itself may ask for memory, and does without */
        return 0;
    searching = 1;
    next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    searching = 0;
    return next_realloc != NULL;
}

static int granting(void)
{
    asked++;
    if (refusals == 0)
        return found();
    if (granted > 0) {
        granted--;
        return found();
    }
    refusals--;
    refused++;
    errno = ENOMEM;
    return 0;
}

void *malloc(size_t size) { return granting() ? next_malloc(size) : NULL; }
void *calloc(size_t count, size_t size) { return granting() ? next_calloc(count, size) : NULL; }
void *realloc(void *block, size_t size) { return granting() ? next_realloc(block, size) : NULL; }

void *mmap(void *near, size_t size, int access, int flags, int file, off_t offset)
{
    long before = refused;
    granting();
    if (refused > before)
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, near, size, access, flags, file, offset);
}

void refuse_after(long allocations, long count)
{
    asked = refused = 0;
    granted = allocations;
    refusals = count;
}

long stop_refusing(void) { refusals = 0; return refused; }
long allocations_asked_for(void) { return asked; }
"""


LIBRARY = "FAILING_MALLOC"  # the environment variable that says where the program finds it


def compile_library(folder: Path) -> Path:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    library = folder / "failing_malloc.so"
    flags = ["-O1", "-shared", "-fPIC", "-xc", "-", "-o", str(library), "-ldl"]
    # What the compiler itself runs on is none of the program's preloaded libraries.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(
        [*compiler, *flags], input=SOURCE, text=True, env=environment, check=True, timeout=60
    )
    return library


def environment_with(library: Path) -> dict[str, str]:
    preload = [str(library), *os.environ.get("LD_PRELOAD", "").split()]
    # A sanitizer would like to be first, but comes next: what is granted, it gives.
    options = [os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0"]
    return {
        **os.environ,
        LIBRARY: str(library),
        "LD_PRELOAD": " ".join(preload),
        "ASAN_OPTIONS": ":".join(filter(None, options)),
        "PYTHONMALLOC": "malloc",
    }


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its result, or the MemoryError that it raised."""

    result: Any
    raised: bool
    refused: int  # how many allocations failed


class FailingMalloc:
    """The library, as loaded into this very process."""

    def __init__(self) -> None:
        library = ctypes.CDLL(os.environ[LIBRARY])
        self._refuse = library.refuse_after
        self._refuse.argtypes, self._refuse.restype = [ctypes.c_long, ctypes.c_long], None
        self._stop = library.stop_refusing
        self._stop.argtypes, self._stop.restype = [], ctypes.c_long
        self._asked = library.allocations_asked_for
        self._asked.argtypes, self._asked.restype = [], ctypes.c_long
        self.faults: list[str] = []
        sys.unraisablehook = self._note
        self.works()

    def _note(self, unraisable: sys.UnraisableHookArgs) -> None:
        # numpy, which gives no object, complains of a warning that it had no memory to give.
        if unraisable.object is not None:
            self.faults.append(f"{unraisable.exc_value!r} in {unraisable.object!r}")

    def works(self) -> None:
        """Raise unless allocations fail when they shall."""
        outcome = self.attempt(lambda: bytearray(1 << 16), 0, 1 << 10)
        if not (outcome.raised and outcome.refused):
            sys.exit("allocations do not fail: the library was not loaded before the C library")

    def attempt(self, operation: Callable[[], Any], granted: int, refusals: int) -> Outcome:
        """Call `operation`; after `granted` allocations the next `refusals` ones fail."""
        result, raised = None, False
        try:
            self._refuse(granted, refusals)
            result = operation()
        except MemoryError:
            raised = True
        while True:  # the call that ends it needs memory too, and uses the refusals up
            try:
                refused = self._stop()
            except MemoryError:
                continue
            break
        assert not self.faults, self.faults
        return Outcome(result, raised, refused)

    def allocations_of(self, operation: Callable[[], Any]) -> int:
        """Return how many allocations a call asks for, and some more for making it."""
        self._refuse(0, 0)
        operation()
        return self._asked()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        environment = environment_with(compile_library(Path(folder)))
        return subprocess.run([sys.executable, *sys.argv[1:]], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
