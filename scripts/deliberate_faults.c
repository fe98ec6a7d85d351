/* Faults that sanitize.sh and valgrind.sh must report before either is believed. */
#include <Python.h>

static PyObject *add_past_the_end(PyObject *self, PyObject *number)
{
    int value = (int)PyLong_AsLong(number);
    return PyLong_FromLong(value + 1);
}

static PyObject *read_past_the_end(PyObject *self, PyObject *number)
{
    char *block = PyMem_Calloc(16, 1);
    PyObject *result = PyLong_FromLong(block[PyLong_AsLong(number)]);
    PyMem_Free(block);
    return result;
}

static PyObject *read_freed(PyObject *self, PyObject *number)
{
    volatile char *block = PyMem_Calloc(16, 1);
    PyMem_Free((void *)block);
    return PyLong_FromLong(block[PyLong_AsLong(number)]);
}

/* The fault is in what the interpreter, compiled without instrumentation, does with the view. */
static PyObject *view_freed(PyObject *self, PyObject *number)
{
    char *block = PyMem_Calloc(16, 1);
    PyObject *view = PyMemoryView_FromMemory(block, 16, PyBUF_READ);
    PyMem_Free(block);
    return view;
}

static PyMethodDef methods[] = {
    {"add_past_the_end", add_past_the_end, METH_O, NULL},
    {"read_past_the_end", read_past_the_end, METH_O, NULL},
    {"read_freed", read_freed, METH_O, NULL},
    {"view_freed", view_freed, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "deliberate_faults", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_deliberate_faults(void)
{
    return PyModule_Create(&module);
}
