"""@cuda: the CUDA toolkit where one is found, by CUDA_HOME or by nvcc on the PATH, and nothing otherwise.

//:found.bzl says which, as CUDA_FOUND. PARLEY_CUDA=required (--config=cuda) makes a missing toolkit an error, and
PARLEY_CUDA=no builds without one that is there.
"""

_BUILD = """
cc_library(
    name = "cudart",
    srcs = ["lib64/libcudart_static.a"],
    hdrs = glob(["include/**"]),
    includes = ["include"],
    linkopts = ["-ldl", "-lrt", "-lpthread"],
    visibility = ["//visibility:public"],
)
"""

def _cuda_configure_impl(ctx):
    wish = ctx.os.environ.get("PARLEY_CUDA", "auto")
    home = ctx.os.environ.get("CUDA_HOME", "")
    if not home:
        nvcc = ctx.which("nvcc")
        if nvcc:
            home = str(nvcc.realpath.dirname.dirname)
    found = wish != "no" and home != "" and ctx.path(home + "/lib64/libcudart_static.a").exists
    if wish == "required" and not found:
        fail("no CUDA toolkit: set CUDA_HOME, or put nvcc on the PATH")
    if found:
        ctx.symlink(home + "/include", "include")
        ctx.symlink(home + "/lib64", "lib64")
    ctx.file("BUILD.bazel", "exports_files([\"found.bzl\"])\n" + (_BUILD if found else ""))
    ctx.file("found.bzl", "CUDA_FOUND = %s\n" % found)

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    environ = [
        "CUDA_HOME",
        "PARLEY_CUDA",
        "PATH",
    ],
    local = True,
)
