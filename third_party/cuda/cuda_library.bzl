"""cuda_library: a cc_library whose sources are .cu files, compiled by nvcc."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@cuda//:found.bzl", "CUDA_FOUND", "CUDA_HOME")

# Machine code for A100 (8.0) and for H100 and H200 (9.0), and for anything newer what the driver compiles by itself.
_ARCHITECTURES = [
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=[sm_90,compute_90]",
]

def _cuda_objects_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    context = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).compilation_context
    flags = _ARCHITECTURES + ctx.attr.copts + [
        "-std=c++17",
        "-O3",
        "-ccbin=" + toolchain.compiler_executable,
        "-Xcompiler=-fPIC",
        # Of the host code that nvcc makes itself.
        "-Xcompiler=-Wno-unused-parameter",
        "--Werror=all-warnings",
        "--expt-relaxed-constexpr",
        "--extended-lambda",
    ]
    if ctx.var["COMPILATION_MODE"] == "opt":
        flags.append("-DNDEBUG")
    flags += ["-Xcompiler=" + flag for flag in ctx.fragments.cpp.copts]
    flags += ["-D" + define for define in context.defines.to_list()]
    folders = context.includes.to_list() + context.quote_includes.to_list()
    flags += ["-I" + folder for folder in folders + ["."]]
    flags += ["-isystem=" + folder for folder in context.system_includes.to_list()]

    objects = []
    for source in ctx.files.srcs:
        if source.extension != "cu":
            continue
        object = ctx.actions.declare_file("_nvcc/%s/%s.pic.o" % (ctx.label.name, source.basename[:-len(".cu")]))
        ctx.actions.run(
            executable = CUDA_HOME + "/bin/nvcc",
            arguments = flags + ["-c", source.path, "-o", object.path],
            inputs = depset(
                ctx.files.srcs + ctx.files.hdrs + [ctx.file._nvcc],
                transitive = [context.headers, toolchain.all_files],
            ),
            outputs = [object],
            # nvcc finds the programs that it runs, and its temporary files, by these.
            env = {"PATH": CUDA_HOME + "/bin:/usr/bin:/bin"},
            mnemonic = "CudaCompile",
            progress_message = "Compiling %s with nvcc" % source.short_path,
        )
        objects.append(object)
    return [DefaultInfo(files = depset(objects))]

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu", ".cuh", ".h"]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "copts": attr.string_list(),
        "deps": attr.label_list(providers = [CcInfo]),
        "_nvcc": attr.label(default = "@cuda//:bin/nvcc" if CUDA_FOUND else None, allow_single_file = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def cuda_library(name, srcs, hdrs = [], deps = [], copts = [], visibility = None):
    """A library of CUDA code, position-independent. Without a toolkit it has no code: whoever calls it chooses, by CUDA_FOUND.

    Args:
      name: of the library.
      srcs: .cu files, and the .cuh and .h files that only they include.
      hdrs: headers for others; they may be included from C++.
      deps: C++ and CUDA libraries; the CUDA run-time need not be named.
      copts: flags for nvcc.
      visibility: as everywhere.
    """
    if not CUDA_FOUND:
        native.cc_library(name = name, visibility = visibility)
        return
    all_deps = deps + ["@cuda//:cudart"]
    _cuda_objects(
        name = name + "_objects",
        srcs = srcs,
        hdrs = hdrs,
        copts = copts,
        deps = all_deps,
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = [":" + name + "_objects"],
        hdrs = hdrs,
        visibility = visibility,
        deps = all_deps,
    )
