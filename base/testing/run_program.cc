#include "base/testing/run_program.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

namespace parley {

ProgramResult RunProgram(const std::string& command) {
  ProgramResult result;
  // env takes variables before a program's name; timeout itself does not.
  const std::string line = "exec timeout -s KILL 60 env " + command + " 2>&1 </dev/null";
  FILE* const pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) {
    ADD_FAILURE() << "cannot run " << command;
    return result;
  }
  char buffer[4096];
  size_t size;
  while ((size = fread(buffer, 1, sizeof(buffer), pipe)) > 0) result.output.append(buffer, size);
  const int status = pclose(pipe);
  // By a signal: of the shell's child itself, or as timeout and env report it.
  if (WIFEXITED(status) && WEXITSTATUS(status) < 128) result.exit_code = WEXITSTATUS(status);
  return result;
}

}  // namespace parley
