"""Tests written in Python, run by Debian's own interpreter with its packages (python3-pytest, python3-grpcio)."""

def python_test(name, src, data = [], **kwargs):
    """A test of one Python file; modules are imported by their path from the workspace root.

    Args:
      name: of the test.
      src: the file, with unittest cases.
      data: programs and modules it uses.
      **kwargs: as for every test.
    """
    native.sh_test(
        name = name,
        srcs = ["//tests:run_python_test.sh"],
        args = ["$(location %s)" % src],
        data = data + [src],
        **kwargs
    )
