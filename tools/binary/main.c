/* The executable: Debian's CPython, linked in whole, with the program as a zip archive behind the ELF image.
 *
 * One process, no fork, no exec: the process that systemd starts is the gateway. Python is configured here and nowhere else:
 * it reads no PYTHON* variable, no site directory and no file but this one, and it writes no byte code.
 */
#define _GNU_SOURCE
#include <Python.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* open_library(path): load a shared library that others need. It stays loaded. */
static PyObject *open_library(PyObject *self, PyObject *args)
{
    const char *path;

    (void)self;
    if (!PyArg_ParseTuple(args, "s:open_library", &path))
        return NULL;
    if (dlopen(path, RTLD_NOW | RTLD_LOCAL) == NULL)
        return PyErr_Format(PyExc_ImportError, "%s", dlerror());
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"open_library", open_library, METH_VARARGS, "Load a shared library by its path."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_halow_memory", NULL, -1, methods, NULL, NULL, NULL, NULL};

static PyObject *memory_module(void)
{
    return PyModule_Create(&module);
}

static PyStatus configure(PyConfig *config, int argc, char **argv, const char *executable)
{
    wchar_t *path = Py_DecodeLocale(executable, NULL);
    wchar_t **settings[] = {&config->executable, &config->base_executable, &config->program_name, NULL};
    wchar_t **prefixes[] = {&config->prefix, &config->exec_prefix, &config->base_prefix, &config->base_exec_prefix, NULL};
    PyStatus status = PyStatus_Ok();
    int i;

    if (path == NULL)
        return PyStatus_NoMemory();
    config->parse_argv = 0;
    config->site_import = 0;
    config->write_bytecode = 0;
    config->install_signal_handlers = 1;
    config->module_search_paths_set = 1;
    for (i = 0; settings[i] != NULL && !PyStatus_Exception(status); i++)
        status = PyConfig_SetString(config, settings[i], path);
    for (i = 0; prefixes[i] != NULL && !PyStatus_Exception(status); i++)
        status = PyConfig_SetString(config, prefixes[i], L"");
    if (!PyStatus_Exception(status))
        status = PyWideStringList_Append(&config->module_search_paths, path);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesArgv(config, argc, argv);
    PyMem_RawFree(path);
    return status;
}

int main(int argc, char **argv)
{
    static char executable[4096];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
    PyPreConfig pre;
    PyConfig config;
    PyStatus status;
    PyObject *boot, *result = NULL;

    if (length < 0) {
        fprintf(stderr, "halow-gateway: /proc/self/exe: %s; /proc must be mounted\n", strerror(errno));
        return 1;
    }
    PyPreConfig_InitIsolatedConfig(&pre);
    pre.utf8_mode = 1; /* the locale of a service is C; files and logs are UTF-8 all the same */
    status = Py_PreInitialize(&pre);
    if (!PyStatus_Exception(status) && PyImport_AppendInittab("_halow_memory", memory_module) < 0)
        status = PyStatus_NoMemory();
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    PyConfig_InitIsolatedConfig(&config);
    status = configure(&config, argc, argv, executable);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    boot = PyImport_ImportModule("halow_gateway_boot");
    if (boot != NULL)
        result = PyObject_CallMethod(boot, "main", NULL);
    if (result == NULL)
        PyErr_Print(); /* ends the process with the status of a SystemExit */
    return Py_FinalizeEx() < 0 || result == NULL;
}
