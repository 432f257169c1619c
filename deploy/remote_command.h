#ifndef PARLEY_DEPLOY_REMOTE_COMMAND_H_
#define PARLEY_DEPLOY_REMOTE_COMMAND_H_

#include <string>
#include <vector>

namespace parley {

// `word` as one word of a shell, whatever stands in it.
std::string QuoteForShell(const std::string& word);

// The command line that runs `command`, a program and its arguments, on `host` over ssh: `ssh`, a
// program and its own arguments, with options that never ask anybody, notice a dead connection
// within about a minute, and otherwise leave the user's ssh config as it is. It starts in `folder`,
// where that exists there.
//
// What is written to the command's stdin are signals, a name a line: "TERM\n". Its end, and so that
// of the connection, of ssh, or of whoever started that, kills the program: nothing stays behind.
// The exit code is the program's; 255: ssh failed. Pure.
std::vector<std::string> RemoteCommand(const std::vector<std::string>& ssh, const std::string& host,
                                       const std::string& folder,
                                       const std::vector<std::string>& command);

}  // namespace parley

#endif  // PARLEY_DEPLOY_REMOTE_COMMAND_H_
