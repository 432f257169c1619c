#include "base/flags.h"

#include <gflags/gflags.h>
#include <glog/logging.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/version.h"

namespace parley {
namespace {

constexpr const char* kLoggingFlags[] = {
    "v",           "vmodule",         "minloglevel",      "stderrthreshold",
    "logtostderr", "alsologtostderr", "colorlogtostderr", "log_dir"};
constexpr int kHelpWidth = 100;

gflags::CommandLineFlagInfo Info(const std::string& name) {
  gflags::CommandLineFlagInfo info;
  CHECK(gflags::GetCommandLineFlagInfo(name.c_str(), &info))
      << "no flag --" << name << " is defined";
  return info;
}

std::vector<std::string> OwnFlags(const CommandLine& command_line) {
  std::vector<std::string> names;
  for (const FlagGroup& group : command_line.groups) {
    names.insert(names.end(), group.flags.begin(), group.flags.end());
  }
  return names;
}

bool IsFlag(const CommandLine& command_line, const std::string& name) {
  for (const char* logging : kLoggingFlags) {
    if (name == logging) return true;
  }
  const std::vector<std::string> own = OwnFlags(command_line);
  return std::find(own.begin(), own.end(), name) != own.end();
}

// Levenshtein's distance: insertions, deletions and replacements that make `b` of `a`.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

std::string UnknownFlag(const CommandLine& command_line, const std::string& flag,
                        const std::string& name) {
  // Names are short: beyond a quarter of their letters, another flag was meant.
  size_t nearest_distance = 1 + std::max<size_t>(1, name.size() / 4);
  std::string nearest;
  for (const std::string& own : OwnFlags(command_line)) {
    const size_t distance = EditDistance(name, own);
    if (distance < nearest_distance) {
      nearest_distance = distance;
      nearest = own;
    }
  }
  const std::string error = absl::StrCat("unknown flag ", flag);
  return nearest.empty() ? error : absl::StrCat(error, "; did you mean --", nearest, "?");
}

const char* ExpectedValue(const std::string& type) {
  if (type == "bool") return "true or false";
  if (type == "int32") return "a whole number of 32 bits";
  if (type == "int64") return "a whole number of 64 bits";
  if (type == "uint32") return "a whole number of 32 bits, not negative";
  if (type == "uint64") return "a whole number of 64 bits, not negative";
  if (type == "double") return "a number";
  return "another value";
}

// `text` in lines of at most `width` characters, each after `indent` spaces; its own line ends
// stay.
std::string Wrap(const std::string& text, size_t indent, size_t width) {
  std::string wrapped;
  for (absl::string_view paragraph : absl::StrSplit(text, '\n')) {
    std::string line;
    for (absl::string_view word : absl::StrSplit(paragraph, ' ')) {
      if (!line.empty() && indent + line.size() + 1 + word.size() > width) {
        absl::StrAppend(&wrapped, std::string(indent, ' '), line, "\n");
        line.clear();
      }
      absl::StrAppend(&line, line.empty() ? "" : " ", word);
    }
    absl::StrAppend(&wrapped, line.empty() ? "" : std::string(indent, ' '), line, "\n");
  }
  return wrapped;
}

// gflags writes 0.9 with all the digits that a double has.
std::string ShortDefault(const gflags::CommandLineFlagInfo& info) {
  double value;
  if (info.type != "double" || !absl::SimpleAtod(info.default_value, &value)) {
    return info.default_value;
  }
  return absl::StrCat(value);
}

std::string KindOf(const gflags::CommandLineFlagInfo& info) {
  if (info.type == "bool") return "yes or no";
  if (info.type == "double") return "number";
  if (info.type != "string") return "whole number";
  absl::Duration duration;
  const bool is_duration = !info.default_value.empty() && info.default_value != "0" &&
                           absl::ParseDuration(info.default_value, &duration);
  return is_duration ? "duration" : "text";
}

}  // namespace

absl::StatusOr<ParsedCommandLine> ParseCommandLine(const CommandLine& command_line,
                                                   const std::vector<std::string>& args) {
  ParsedCommandLine parsed;
  bool flags_ended = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--" && !flags_ended) {
      flags_ended = true;
      if (command_line.takes_rest) {
        parsed.rest.assign(args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
        break;
      }
      continue;
    }
    if (flags_ended || arg.size() < 2 || arg[0] != '-') {
      if (static_cast<int>(parsed.arguments.size()) == command_line.max_arguments) {
        return absl::InvalidArgumentError(absl::StrCat("unexpected argument '", arg, "'"));
      }
      parsed.arguments.push_back(arg);
      continue;
    }

    const std::string body = arg.substr(absl::StartsWith(arg, "--") ? 2 : 1);
    const size_t equals = body.find('=');
    std::string name = body.substr(0, equals);
    const std::string flag = absl::StrCat("--", name);
    const bool markdown = body == "help=markdown";
    if (markdown || (equals == std::string::npos && (name == "help" || name == "h"))) {
      parsed.help = true;
      parsed.markdown = markdown;
      return parsed;
    }
    if (equals == std::string::npos && name == "version") {
      parsed.version = true;
      return parsed;
    }

    bool negated = false;
    if (!IsFlag(command_line, name) && absl::StartsWith(name, "no") &&
        IsFlag(command_line, name.substr(2)) && Info(name.substr(2)).type == "bool") {
      name = name.substr(2);
      negated = true;
    }
    if (!IsFlag(command_line, name)) {
      return absl::InvalidArgumentError(UnknownFlag(command_line, flag, name));
    }
    const gflags::CommandLineFlagInfo info = Info(name);
    std::string value;
    if (equals != std::string::npos) {
      if (negated) {
        return absl::InvalidArgumentError(absl::StrCat(flag, " takes no value"));
      }
      value = body.substr(equals + 1);
    } else if (info.type == "bool") {
      value = negated ? "false" : "true";
    } else if (i + 1 < args.size() && !absl::StartsWith(args[i + 1], "--")) {
      value = args[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(flag, " needs a value"));
    }
    // gflags stops reading a string at a zero byte, and answers with nothing when it refuses.
    if (value.find('\0') != std::string::npos ||
        gflags::SetCommandLineOption(name.c_str(), value.c_str()).empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, "=", value, ": expected ", ExpectedValue(info.type)));
    }
  }
  return parsed;
}

std::string HelpText(const CommandLine& command_line, int width) {
  std::string help = Wrap(command_line.usage, 0, width);
  for (const FlagGroup& group : command_line.groups) {
    absl::StrAppend(&help, "\n", group.title, ":\n");
    for (const std::string& name : group.flags) {
      const gflags::CommandLineFlagInfo info = Info(name);
      const bool is_bool = info.type == "bool";
      std::string description = info.description;
      if (is_bool ? info.default_value == "true" : !info.default_value.empty()) {
        absl::StrAppend(&description, " (default: ", ShortDefault(info), ")");
      }
      constexpr size_t kColumn = 26;
      const std::string head = absl::StrCat("  --", is_bool ? "[no]" : "", name);
      std::string text = Wrap(description, kColumn, width);
      if (head.size() + 2 <= kColumn) {
        text.replace(0, head.size(), head);  // in place of the first line's indent
      } else {
        text = absl::StrCat(head, "\n", text);
      }
      help += text;
    }
  }
  absl::StrAppend(&help, "\n",
                  Wrap("Also: --help, --version, and glog's --v, --vmodule, --minloglevel, "
                       "--stderrthreshold, --logtostderr, --alsologtostderr, --colorlogtostderr, "
                       "--log_dir.",
                       0, width));
  return help;
}

std::string MarkdownHelp(const CommandLine& command_line) {
  // The synopsis, what the program does.
  const std::vector<std::string> usage =
      absl::StrSplit(command_line.usage, absl::MaxSplits("\n\n", 1));
  std::string text = absl::StrCat("## ", command_line.program, "\n    ",
                                  absl::StrReplaceAll(usage[0], {{"\n", "\n    "}}), "\n");
  if (usage.size() > 1) absl::StrAppend(&text, "\n", usage[1], "\n");
  for (const FlagGroup& group : command_line.groups) {
    absl::StrAppend(&text, "\n### ", group.title,
                    "\n| flag | value | default | |\n|---|---|---|---|\n");
    for (const std::string& name : group.flags) {
      const gflags::CommandLineFlagInfo info = Info(name);
      const std::string value = ShortDefault(info);
      absl::StrAppend(
          &text, "| `--", name, "` | ", KindOf(info), " | ",
          value.empty() ? "" : absl::StrCat("`", value, "`"), " | ",
          absl::StrReplaceAll(info.description, {{"|", "\\|"}, {"<", "\\<"}, {"*", "\\*"}}),
          " |\n");
    }
  }
  return text;
}

std::vector<FlagValue> ValuesOf(const FlagGroup& group) {
  std::vector<FlagValue> values;
  for (const std::string& name : group.flags) {
    const gflags::CommandLineFlagInfo info = Info(name);
    values.push_back({name, info.current_value, info.is_default});
  }
  return values;
}

void ExitWithFlagError(const CommandLine& command_line, const std::string& error) {
  // One write, so that the line stays whole beside other tasks' output.
  const std::string line =
      absl::StrCat(command_line.program, ": ", error, absl::EndsWith(error, "?") ? " " : "; ",
                   "--help lists the flags\n");
  std::fflush(stdout);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::exit(2);
}

ParsedCommandLine ParseFlags(const CommandLine& command_line,
                             const std::vector<std::string>& args) {
  absl::StatusOr<ParsedCommandLine> parsed = ParseCommandLine(command_line, args);
  if (!parsed.ok()) ExitWithFlagError(command_line, std::string(parsed.status().message()));
  if (parsed->help || parsed->version) {
    const std::string text = parsed->markdown ? MarkdownHelp(command_line)
                             : parsed->help
                                 ? HelpText(command_line, kHelpWidth)
                                 : absl::StrCat(command_line.program, " ", kVersion, "\n");
    const bool written =
        std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    std::exit(written ? 0 : 1);
  }
  return *std::move(parsed);
}

ParsedCommandLine ParseFlags(const CommandLine& command_line, int argc, char** argv) {
  return ParseFlags(command_line, std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}

}  // namespace parley
