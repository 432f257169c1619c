"""Finds a CUDA toolkit, or says that there is none: @cuda//:found.bzl holds CUDA_FOUND and CUDA_HOME."""

def _cuda_configure_impl(ctx):
    home = ctx.os.environ.get("CUDA_HOME", "")
    if not home:
        nvcc = ctx.which("nvcc")
        if nvcc:
            home = str(nvcc.realpath.dirname.dirname)
    found = home != "" and ctx.path(home + "/bin/nvcc").exists
    ctx.file("BUILD.bazel", "exports_files([\"found.bzl\"])\n")
    ctx.file("found.bzl", "CUDA_FOUND = %s\nCUDA_HOME = %s\n" % (found, repr(home if found else "")))

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    environ = [
        "CUDA_HOME",
        "PATH",
    ],
    local = True,
)
