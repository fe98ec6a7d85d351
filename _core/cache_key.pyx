"""Canonical digests of nested Python values, for keys that must mean the same in every process.

The encoding, why no two values share one, and what is refused are described in the pure-Python
twin, ``kaizen_nexus._fallback.cache_key``; both write the same bytes and raise the same errors.

Here one pass writes into a growable buffer that belongs to the call alone, so calls are re-entrant
and share nothing. Entries of dicts and elements of sets are written in the order they come and are
then moved into sorted order by an array of their positions.
"""

from byte_buffer cimport (
    Buffer, big_endian_size, buffer_close, buffer_grow, buffer_open, prefix_size,
    write_big_endian, write_byte, write_bytes, write_prefix,
)
from byte_entries cimport (
    Entries, entries_add, entries_arrange, entries_close, entries_open, entries_repeat,
    entries_sort,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from hashlib import blake2b as _blake2b
from importlib import import_module as _import_module

from kaizen_nexus._common.cache_key_format import (
    ELEMENT_STEP as _ELEMENT_STEP,
    FIELDS as _FIELDS,
    KEYS_STEP as _KEYS_STEP,
    LONE_SURROGATE as _LONE_SURROGATE,
    MAX_DEPTH as _MAX_DEPTH,
    MAX_SIZE as _MAX_SIZE,
    METHOD_STEP as _METHOD_STEP,
    NAME as _NAME,
    NAN as _NAN,
    PERSON as _PERSON,
    RESULT as _RESULT,
    SAME_ELEMENTS as _SAME_ELEMENTS,
    SAME_KEYS as _SAME_KEYS,
    TOO_DEEP as _TOO_DEEP,
    WITHIN_ITSELF as _WITHIN_ITSELF,
    Refusal as _Refusal,
    changed_size as _changed_size,
    field_step as _field_step,
    item_step as _item_step,
    too_large as _too_large,
)

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const char* PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1

__all__ = ["cache_key", "encode"]

cdef enum:
    MAX_DEPTH = 100

cdef size_t MAX_SIZE = _MAX_SIZE
cdef int NAME = _NAME
cdef int RESULT = _RESULT
cdef int FIELDS = _FIELDS
cdef object _new_state = _blake2b(digest_size=16, person=_PERSON).copy
cdef object _reduce_object = None

if _MAX_DEPTH != MAX_DEPTH:
    raise ImportError("kaizen_nexus._core.cache_key was built for another version of kaizen_nexus")


cdef struct Encoder:
    int depth
    PyObject* open[MAX_DEPTH]  # borrowed: the frames that opened them hold them
    Buffer output
    Buffer scratch
    Entries entries  # those of all open dicts and sets, innermost last


def cache_key(*values):
    """Return a digest that equals another exactly when the values have equal types and contents.

    Encodable are None, bool, int, float, complex, str, bytes, bytearray, range, list, tuple, dict,
    set, frozenset, OrderedDict, mappingproxy and SimpleNamespace; date, time, datetime, timedelta,
    timezone and ZoneInfo; Decimal, Fraction, UUID, the paths of pathlib and compiled regular
    expressions; members of enumerations; named tuples, dataclasses, pydantic models (fields and
    extras, not private attributes) and msgspec Structs; classes and functions, by name; and
    instances of any class with a method ``__cache_key__()`` that returns an encodable value.
    ``1``, ``True``, ``1.0`` and ``"1"`` differ; so do ``0.0`` and ``-0.0``, a list and a tuple.

    Parameters
    ----------
    *values
        What the key shall stand for, in order; must not change during the call.

    Returns
    -------
    str
        32 lower-case hexadecimal digits, the same in every process, on every platform, with every
        hash seed, from both implementations.

    Raises
    ------
    TypeError
        If a value has no canonical encoding; the message gives the path to it: NaN, a lone
        surrogate, a value that contains itself, a class or function that is not found under its
        own name (such as a lambda), an unlisted subclass of a built-in type, any other object.
    ValueError
        If values nest more than 100 deep or encode to more than 16 MiB.
    RuntimeError
        If a container changes size during the call.

    Notes
    -----
    Thread-safe and re-entrant: calls share no state. The time is O(n log n) in the size of the
    encoding. Attributes of a dataclass beyond its fields do not count. A class or function that is
    renamed or moved to another module counts as another one.
    """
    state = _new_state()
    state.update(_encode(values))
    return state.hexdigest()


def encode(*values):
    """Return the canonical encoding that `cache_key` hashes; see there for what is raised."""
    return _encode(values)


cdef bytes _encode(tuple values):
    cdef Encoder* encoder = <Encoder*>PyMem_Malloc(sizeof(Encoder))
    cdef Py_ssize_t index = 0
    if encoder is NULL:
        raise MemoryError
    encoder.depth = 0
    buffer_open(&encoder.output)
    buffer_open(&encoder.scratch)
    entries_open(&encoder.entries)
    try:
        reserve(encoder, prefix_size(len(values)) + len(values))
        write_prefix(&encoder.output, len(values))
        while index < len(values):
            put(encoder, values[index])
            index += 1
        return PyBytes_FromStringAndSize(<char*>encoder.output.data, encoder.output.size)
    except _Refusal as refusal:
        add_step(refusal, _item_step(index))
        if isinstance(refusal, _Refusal):
            raise refusal.as_error() from None
        raise
    finally:
        buffer_close(&encoder.output)
        buffer_close(&encoder.scratch)
        entries_close(&encoder.entries)
        PyMem_Free(encoder)


cdef int add_step(object refusal, object step) except -1:
    # Where there was no memory to catch the refusal with, what was caught is a MemoryError.
    if isinstance(refusal, _Refusal):
        refusal.steps.append(step)
    return 0


cdef inline int reserve(Encoder* encoder, size_t extra) except -1:
    """Make room for `extra` bytes, within the limit on what a call may write."""
    if extra <= encoder.output.capacity - encoder.output.size:
        return 0
    if extra > MAX_SIZE - encoder.output.size:
        raise _too_large()
    return buffer_grow(&encoder.output, encoder.output.size + extra, MAX_SIZE)


cdef int put(Encoder* encoder, object value) except -1:
    """Append the encoding of `value`; after an exception the encoder is only fit to be freed."""
    kind = type(value)
    if kind is str:
        return put_str(encoder, value)
    if kind is int:
        return put_int(encoder, value)
    if value is None:
        return put_tag(encoder, c"N")
    if value is True:
        return put_tag(encoder, c"T")
    if value is False:
        return put_tag(encoder, c"F")
    if kind is float:
        return put_float(encoder, value)
    if kind is dict:
        enter(encoder, value)
        put_entries(encoder, <dict>value, False)
        encoder.depth -= 1
        return 0
    if kind is list:
        return put_list(encoder, <list>value)
    if kind is tuple:
        return put_tuple(encoder, <tuple>value)
    if kind is bytes:
        return put_block(encoder, c"B", PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if kind is set:
        return put_elements(encoder, c"E", value)
    if kind is frozenset:
        return put_elements(encoder, c"Z", value)
    return put_instance(encoder, value)


include "cache_key_scalars.pxi"


cdef inline int put_head(
    Encoder* encoder, unsigned char tag, size_t count, size_t values
) except -1:
    """Write a container's tag and count; each of its values will take a byte at least."""
    reserve(encoder, 1 + prefix_size(count) + values)
    write_byte(&encoder.output, tag)
    write_prefix(&encoder.output, count)
    return 0


cdef int put_list(Encoder* encoder, list value) except -1:
    cdef Py_ssize_t count = len(value)
    cdef Py_ssize_t index = 0
    enter(encoder, value)
    put_head(encoder, c"L", count, count)
    try:
        while index < len(value):
            put(encoder, value[index])
            index += 1
    except _Refusal as refusal:
        add_step(refusal, _item_step(index))
        raise
    if len(value) != count:
        raise _changed_size("list")
    encoder.depth -= 1
    return 0


cdef int put_tuple(Encoder* encoder, tuple value) except -1:
    cdef Py_ssize_t count = len(value)
    cdef Py_ssize_t index = 0
    enter(encoder, value)
    put_head(encoder, c"U", count, count)
    try:
        while index < count:
            put(encoder, value[index])
            index += 1
    except _Refusal as refusal:
        add_step(refusal, _item_step(index))
        raise
    encoder.depth -= 1
    return 0


cdef int put_entries(Encoder* encoder, dict value, bint fields) except -1:
    """Append an open dict; `fields` says that it holds the fields of an object by name."""
    cdef size_t count = len(value)
    cdef size_t base = encoder.entries.count
    cdef size_t first, start, key_size
    cdef Py_ssize_t position = 0
    cdef PyObject* next_key
    cdef PyObject* next_item
    cdef bint in_key = True
    cdef bint unusual = False
    put_head(encoder, c"M", count, 2 * count)
    first = encoder.output.size
    key = None
    try:
        while PyDict_Next(value, &position, &next_key, &next_item):
            key = <object>next_key
            item = <object>next_item
            start = encoder.output.size
            in_key = True
            if type(key) is str:
                put_str(encoder, key)
            else:
                put(encoder, key)
                unusual = True
            key_size = encoder.output.size - start
            in_key = False
            put(encoder, item)
            if encoder.entries.count - base == count:
                raise _changed_size("dict")
            entries_add(&encoder.entries, &encoder.output, start, key_size)
    except _Refusal as refusal:
        add_step(
            refusal, _KEYS_STEP if in_key else _field_step(key) if fields else _item_step(key)
        )
        raise
    if <size_t>len(value) != count or encoder.entries.count - base != count:
        raise _changed_size("dict")
    entries_sort(&encoder.entries, &encoder.output, base)
    # Unequal strings never encode alike, but objects compare as they please.
    if unusual and entries_repeat(&encoder.entries, &encoder.output, base):
        raise _Refusal(_SAME_KEYS)
    entries_arrange(&encoder.entries, &encoder.output, &encoder.scratch, base, first)
    encoder.entries.count = base
    return 0


cdef int put_elements(Encoder* encoder, unsigned char tag, object value) except -1:
    cdef size_t count = len(value)
    cdef size_t base = encoder.entries.count
    cdef size_t first, start
    enter(encoder, value)
    put_head(encoder, tag, count, count)
    first = encoder.output.size
    try:
        for element in tuple(value):
            start = encoder.output.size
            put(encoder, element)
            entries_add(&encoder.entries, &encoder.output, start, encoder.output.size - start)
    except _Refusal as refusal:
        add_step(refusal, _ELEMENT_STEP)
        raise
    if <size_t>len(value) != count:
        raise _changed_size(type(value).__name__)
    entries_sort(&encoder.entries, &encoder.output, base)
    if entries_repeat(&encoder.entries, &encoder.output, base):
        raise _Refusal(_SAME_ELEMENTS)
    entries_arrange(&encoder.entries, &encoder.output, &encoder.scratch, base, first)
    encoder.entries.count = base
    encoder.depth -= 1
    return 0


cdef int put_instance(Encoder* encoder, object value) except -1:
    global _reduce_object
    cdef bytes header
    cdef int form
    if _reduce_object is None:
        # Loads decimal, pathlib, uuid and more, which many processes never need for a key.
        module = _import_module("kaizen_nexus._common.cache_key_objects")
        _reduce_object = module.reduce_object
    header, form, payload = _reduce_object(value)
    reserve(encoder, len(header))
    write_bytes(&encoder.output, PyBytes_AS_STRING(header), len(header))
    if form == NAME:
        return 0
    enter(encoder, value)
    if form == FIELDS:
        put_entries(encoder, <dict>payload, True)
    else:
        try:
            put(encoder, payload)
        except _Refusal as refusal:
            if form == RESULT:
                add_step(refusal, _METHOD_STEP)
            raise
    encoder.depth -= 1
    return 0


cdef inline int enter(Encoder* encoder, object container) except -1:
    """Open a container, unless it is open already or too many are."""
    cdef int level
    for level in range(encoder.depth):
        if encoder.open[level] is <PyObject*>container:
            raise _Refusal(_WITHIN_ITSELF)
    if encoder.depth == MAX_DEPTH:
        raise _Refusal(_TOO_DEEP, error=ValueError)
    encoder.open[encoder.depth] = <PyObject*>container
    encoder.depth += 1
    return 0
