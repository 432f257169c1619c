#include "deploy/remote_command.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace parley {
namespace {

// The program takes the shell's place and number; what it leaves behind sends it signals.
constexpr char kScript[] =
    "cd \"$1\" 2>/dev/null; shift; unset TF_CONFIG; exec 3<&0; "
    "(while read -r signal <&3; do kill -s \"$signal\" $$; done; kill -s KILL $$) "
    ">/dev/null 2>&1 </dev/null & "
    "exec \"$@\" </dev/null 3<&-";

}  // namespace

std::string QuoteForShell(const std::string& word) {
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

std::vector<std::string> RemoteCommand(const std::vector<std::string>& ssh, const std::string& host,
                                       const std::string& folder,
                                       const std::vector<std::string>& command) {
  std::vector<std::string> words = ssh;
  for (const char* option : {"BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=15",
                             "ServerAliveCountMax=3", "LogLevel=ERROR"}) {
    words.push_back("-o");
    words.push_back(option);
  }
  words.push_back("-T");
  words.push_back("--");
  words.push_back(host);
  // In any login shell; the script is for sh.
  std::string line =
      absl::StrCat("exec /bin/sh -c ", QuoteForShell(kScript), " sh ", QuoteForShell(folder));
  for (const std::string& word : command) absl::StrAppend(&line, " ", QuoteForShell(word));
  words.push_back(std::move(line));
  return words;
}

}  // namespace parley
