#ifndef PARLEY_BASE_TESTING_RUN_PROGRAM_H_
#define PARLEY_BASE_TESTING_RUN_PROGRAM_H_

#include <string>

namespace parley {

struct ProgramResult {
  int exit_code = -1;  // -1: it was ended by a signal
  std::string output;  // stdout and stderr, as they came
};

// Runs `command` by the shell and waits for its end: a program that the test has as data, by its
// path from the workspace root, and its arguments, quoted for the shell. Variables before it
// ("A=1 folder/program") are for its environment. A program that runs for longer than a minute is
// killed.
ProgramResult RunProgram(const std::string& command);

}  // namespace parley

#endif  // PARLEY_BASE_TESTING_RUN_PROGRAM_H_
