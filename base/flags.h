#ifndef PARLEY_BASE_FLAGS_H_
#define PARLEY_BASE_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parley {

// Flags that --help lists together, in this order.
struct FlagGroup {
  std::string title;               // "The cluster"
  std::vector<std::string> flags;  // names of gflags: {"ps_hosts", "worker_hosts"}
};

// What a program takes on its command line. Flags are defined with gflags (DEFINE_int64 and so on),
// but are flags of the program only where a group names them: a library's flags do not slip in.
// Also accepted, and not listed, are those of glog that steer what is logged where: v, vmodule,
// minloglevel, stderrthreshold, logtostderr, alsologtostderr, colorlogtostderr, log_dir.
struct CommandLine {
  std::string program;  // as errors and --help call it: "parley_worker", "parley launch"
  // What --help says above the flags: a synopsis line, an empty line, what the program does.
  std::string usage;
  std::vector<FlagGroup> groups;
  int max_arguments = 0;    // arguments that are no flags
  bool takes_rest = false;  // whether anything may follow "--"; where not, arguments may
};

struct ParsedCommandLine {
  std::vector<std::string> arguments;
  std::vector<std::string> rest;  // what follows "--", when takes_rest
  bool help = false;              // --help was there: nothing after it was looked at
  bool markdown = false;          // it was --help=markdown
  bool version = false;           // the same of --version
};

// Sets the gflags that `args` (without the program's name) give: --name=value, --name value, --name
// and --noname for a bool, one dash or two; the last of a repeated flag counts. INVALID_ARGUMENT,
// with a message for the user, for an unknown flag (naming the nearest one when it is near), a
// value that is missing or of another type, or an argument too many. A group's flag that is not
// defined is an error of the program and ends it. Thread safety: none; call it before threads
// start.
absl::StatusOr<ParsedCommandLine> ParseCommandLine(const CommandLine& command_line,
                                                   const std::vector<std::string>& args);

// What --help prints: usage, and one flag a paragraph with its default (not its present value).
// Lines are at most `width` characters wide, where words allow.
std::string HelpText(const CommandLine& command_line, int width);

// The same for docs/flags.md: a chapter for the program, a table for each group.
std::string MarkdownHelp(const CommandLine& command_line);

struct FlagValue {
  std::string name;
  std::string value;
  bool is_default = false;  // nobody said it
};

// The present values of a group's flags, in its order.
std::vector<FlagValue> ValuesOf(const FlagGroup& group);

// For main(): parses `args` and returns; or, after --help, --help=markdown (MarkdownHelp) or
// --version, prints to stdout and exits
// with 0; or, on an error, prints one line, "<program>: <error>; --help lists the flags", to stderr
// and exits with 2.
ParsedCommandLine ParseFlags(const CommandLine& command_line, const std::vector<std::string>& args);
ParsedCommandLine ParseFlags(const CommandLine& command_line, int argc, char** argv);

// Prints the one line of an error found in the flags' values, as ParseFlags does, and exits with 2.
[[noreturn]] void ExitWithFlagError(const CommandLine& command_line, const std::string& error);

}  // namespace parley

#endif  // PARLEY_BASE_FLAGS_H_
