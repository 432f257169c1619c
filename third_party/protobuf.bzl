"""C++ code from .proto files, made by the packaged protoc and its gRPC plugin."""

def parley_cc_proto(name, src, deps = [], grpc = False, visibility = None):
    """A cc_library `name` with the messages of one .proto file; with `grpc`, `name`_grpc with its service stubs too.

    The stubs stand apart, so that only what uses them includes gRPC's headers.

    Args:
      name: of the library; include the header as "<package>/<src without .proto>.pb.h".
      src: the .proto file, which imports others by their path from the workspace root.
      deps: parley_cc_proto libraries for its imports.
      grpc: whether to make <src>.grpc.pb.{h,cc} as well.
      visibility: as everywhere.
    """
    base = src[:-len(".proto")]
    sources = [src] + [dep + "_srcs" for dep in deps]
    native.filegroup(
        name = name + "_srcs",
        srcs = sources,
        visibility = visibility,
    )
    native.genrule(
        name = name + "_gen",
        srcs = sources,
        outs = [base + ".pb.h", base + ".pb.cc"],
        cmd = "protoc -I. --cpp_out=$(GENDIR) $(location %s)" % src,
    )
    native.cc_library(
        name = name,
        srcs = [base + ".pb.cc"],
        hdrs = [base + ".pb.h"],
        copts = ["-w"],
        visibility = visibility,
        deps = deps + ["//third_party:protobuf"],
    )
    if grpc:
        native.genrule(
            name = name + "_grpc_gen",
            srcs = sources,
            outs = [base + ".grpc.pb.h", base + ".grpc.pb.cc"],
            cmd = ("protoc -I. --grpc_out=$(GENDIR) --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin " +
                   "$(location %s)" % src),
        )
        native.cc_library(
            name = name + "_grpc",
            srcs = [base + ".grpc.pb.cc"],
            hdrs = [base + ".grpc.pb.h"],
            copts = ["-w"],
            visibility = visibility,
            deps = [
                ":" + name,
                "//third_party:grpc",
            ],
        )
