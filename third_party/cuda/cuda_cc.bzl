"""C++ targets that include the toolkit's headers, and so exist only where it is found."""

load("@cuda//:found.bzl", "CUDA_FOUND", "CUDA_LIBRARIES")

# PARLEY_CUDA_LIBRARIES is the folder of the toolkit's libraries, as a string.
CUDA_LIBRARIES_DEFINES = ["PARLEY_CUDA_LIBRARIES=\\\"%s\\\"" % CUDA_LIBRARIES]

def cuda_cc_library(name, visibility = None, deps = [], **kwargs):
    """A cc_library that may include the CUDA run-time's headers; without a toolkit an empty one."""
    if not CUDA_FOUND:
        native.cc_library(name = name, visibility = visibility)
        return
    native.cc_library(
        name = name,
        visibility = visibility,
        local_defines = CUDA_LIBRARIES_DEFINES,
        deps = deps + ["@cuda//:cudart"],
        **kwargs
    )

def cuda_cc_test(name, deps = [], **kwargs):
    """A cc_test that may include the CUDA run-time's headers; nothing without a toolkit."""
    if CUDA_FOUND:
        native.cc_test(name = name, deps = deps + ["@cuda//:cudart"], **kwargs)

def cuda_cc_binary(name, deps = [], **kwargs):
    """A cc_binary that may include the CUDA run-time's headers; nothing without a toolkit."""
    if CUDA_FOUND:
        native.cc_binary(name = name, deps = deps + ["@cuda//:cudart"], **kwargs)
