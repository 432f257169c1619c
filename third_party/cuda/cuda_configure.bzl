"""@cuda: the CUDA toolkit where one is found, by CUDA_HOME or by nvcc on the PATH, and nothing otherwise.

//:found.bzl says which, as CUDA_FOUND: the compiler, the run-time and cuBLAS. CUDNN_FOUND and NCCL_FOUND tell of those two.
PARLEY_CUDA=required (--config=cuda) makes a missing toolkit an error, and PARLEY_CUDA=no builds without one that is there.

Only the run-time is linked, statically. cuBLAS, cuDNN and NCCL are opened when a program first uses them
(cuda/dynamic_library.h), so here only their headers count.
"""

_BUILD = """
exports_files(["bin/nvcc"])

cc_library(
    name = "cudart",
    srcs = ["lib64/libcudart_static.a"],
    hdrs = glob(["include/**"]),
    includes = ["include"],
    linkopts = ["-ldl", "-lrt", "-lpthread"],
    visibility = ["//visibility:public"],
)
"""

# The packaged libraries, beside Abseil's, that a portable program contains (BUILD.bazel). A folder of its own, without the
# shared ones, lets the linker find only these.
_ARCHIVES = ["libgflags.a", "libglog.a", "liblzma.a", "libunwind.a"]

_FOUND = """CUDA_FOUND = {cuda}
CUDNN_FOUND = {cudnn}
NCCL_FOUND = {nccl}

# Where the toolkit is, and where its libraries are, if they are nowhere on the loader's path.
CUDA_HOME = "{home}"
CUDA_LIBRARIES = "{home}/lib64"
"""

def _has_header(ctx, home, name):
    folders = [home + "/include", "/usr/local/include", "/usr/include", "/usr/include/x86_64-linux-gnu"]
    return any([ctx.path(folder + "/" + name).exists for folder in folders])

def _cuda_configure_impl(ctx):
    wish = ctx.os.environ.get("PARLEY_CUDA", "auto")
    home = ctx.os.environ.get("CUDA_HOME", "")
    if not home:
        nvcc = ctx.which("nvcc")
        if nvcc:
            home = str(nvcc.realpath.dirname.dirname)

    needed = ["bin/nvcc", "lib64/libcudart_static.a", "include/cublas_v2.h"]
    missing = [name for name in needed if home and not ctx.path(home + "/" + name).exists]
    found = wish != "no" and home != "" and not missing
    if wish == "required" and not found:
        fail("no CUDA toolkit: " + (home + " has no " + ", ".join(missing) if home else
                                    "set CUDA_HOME, or put nvcc on the PATH"))
    if found:
        for name in ["bin", "include", "lib64"]:
            ctx.symlink(home + "/" + name, name)
        packaged = ctx.path("/usr/lib/x86_64-linux-gnu")
        for path in packaged.readdir() if packaged.exists else []:
            name = path.basename
            if name.endswith(".a") and (name.startswith("libabsl_") or name in _ARCHIVES):
                ctx.symlink(path, "archives/" + name)
    ctx.file("BUILD.bazel", "exports_files([\"found.bzl\"])\n" + (_BUILD if found else ""))
    ctx.file("found.bzl", _FOUND.format(
        cuda = found,
        cudnn = found and _has_header(ctx, home, "cudnn.h"),
        nccl = found and _has_header(ctx, home, "nccl.h"),
        home = home if found else "",
    ))

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    environ = [
        "CUDA_HOME",
        "PARLEY_CUDA",
        "PATH",
    ],
    local = True,
)
