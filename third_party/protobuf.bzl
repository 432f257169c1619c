"""C++ and Python code from .proto files, made by the packaged protoc and its gRPC plugins."""

def parley_cc_proto(name, src, deps = [], grpc = False, visibility = None):
    """A cc_library with the messages of one .proto file and, with `grpc`, its service stubs.

    Args:
      name: of the library; include the header as "<package>/<src without .proto>.pb.h".
      src: the .proto file, which imports others by their path from the workspace root.
      deps: parley_cc_proto libraries for its imports.
      grpc: whether to make <src>.grpc.pb.{h,cc} as well.
      visibility: as everywhere.
    """
    base = src[:-len(".proto")]
    outs = [base + ".pb.h", base + ".pb.cc"]
    command = "protoc -I. --cpp_out=$(GENDIR) "
    if grpc:
        outs += [base + ".grpc.pb.h", base + ".grpc.pb.cc"]
        command += "--grpc_out=$(GENDIR) --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin "
    native.genrule(
        name = name + "_gen",
        srcs = [src] + [dep + "_srcs" for dep in deps],
        outs = outs,
        cmd = command + "$(location %s)" % src,
    )
    native.filegroup(
        name = name + "_srcs",
        srcs = [src] + [dep + "_srcs" for dep in deps],
        visibility = visibility,
    )
    native.cc_library(
        name = name,
        srcs = [out for out in outs if out.endswith(".cc")],
        hdrs = [out for out in outs if out.endswith(".h")],
        copts = ["-w"],
        visibility = visibility,
        deps = deps + ["//third_party:grpc" if grpc else "//third_party:protobuf"],
    )
