#include "base/flags.h"

#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Ran {
  int exit_code = -1;
  std::string output;  // stdout and stderr
};

// Runs base/testing/flags_program through the shell.
Ran RunProgram(const std::string& args) {
  Ran ran;
  FILE* pipe = popen(("exec base/testing/flags_program " + args + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  char buffer[4096];
  size_t size;
  while ((size = fread(buffer, 1, sizeof(buffer), pipe)) > 0) ran.output.append(buffer, size);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) ran.exit_code = WEXITSTATUS(status);
  return ran;
}

TEST(FlagsTest, SetsValuesInEveryForm) {
  const Ran ran =
      RunProgram("--steps=7 -learning_rate -0.5 --resume --model mlp --data_dir='a b=c' -v 1");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "steps=7 learning_rate=-0.5 resume=1 model=mlp data_dir=a b=c\n");
}

TEST(FlagsTest, TheLastOfARepeatedFlagCounts) {
  EXPECT_THAT(RunProgram("--resume --steps=1 --noresume --steps=2").output,
              HasSubstr("steps=2 learning_rate=0.01 resume=0"));
}

TEST(FlagsTest, EmptyIsAStringToo) {
  EXPECT_THAT(RunProgram("--model=").output, HasSubstr("model= "));
}

TEST(FlagsTest, PassesOnWhatFollowsTwoDashes) {
  EXPECT_THAT(RunProgram("--steps=1 here -- --steps=2 --foo -- there").output,
              HasSubstr("argument:here rest:--steps=2 rest:--foo rest:-- rest:there"));
}

TEST(FlagsTest, RefusesInOneLine) {
  const struct {
    const char* args;
    const char* error;
  } cases[] = {
      {"--foo", "unknown flag --foo; --help"},
      {"--foo=3", "unknown flag --foo; --help"},
      {"--step=3", "unknown flag --step; did you mean --steps? --help"},
      {"--learning-rate=3", "unknown flag --learning-rate; did you mean --learning_rate? --help"},
      {"--nosteps", "unknown flag --nosteps; --help"},
      {"--a_flag_of_a_library=x", "unknown flag --a_flag_of_a_library; --help"},
      {"--flagfile=x", "unknown flag --flagfile; --help"},
      {"--helpxml", "unknown flag --helpxml; --help"},
      {"--steps=many", "--steps=many: expected a whole number of 64 bits; --help"},
      {"--steps=1.5", "--steps=1.5: expected a whole number of 64 bits; --help"},
      {"--steps=", "--steps=: expected a whole number of 64 bits; --help"},
      {"--steps=99999999999999999999",
       "--steps=99999999999999999999: expected a whole number of 64 bits; --help"},
      {"--learning_rate=fast", "--learning_rate=fast: expected a number; --help"},
      {"--resume=maybe", "--resume=maybe: expected true or false; --help"},
      {"--noresume=true", "--noresume takes no value; --help"},
      {"--steps", "--steps needs a value; --help"},
      {"--data_dir --steps=3", "--data_dir needs a value; --help"},
      {"one two", "unexpected argument 'two'; --help"},
      {"one -", "unexpected argument '-'; --help"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.args);
    const Ran ran = RunProgram(c.args);
    EXPECT_EQ(ran.exit_code, 2);
    EXPECT_EQ(ran.output, std::string("flags_program: ") + c.error + " lists the flags\n");
  }
}

TEST(FlagsTest, HelpListsTheGroupsOnly) {
  const Ran ran = RunProgram("--help --foo");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.output, HasSubstr("usage: flags_program [flags] [argument]\n\nPrints its flags.\n"
                                    "\nTraining:\n  --steps                 How many steps"));
  EXPECT_THAT(ran.output, HasSubstr("(default: 100)\n"));
  EXPECT_THAT(ran.output,
              HasSubstr("\n  --[no]resume            Continue from the newest checkpoint.\n"));
  EXPECT_THAT(ran.output,
              HasSubstr("\nData:\n  --model                 linear, mlp or cnn. (default: cnn)\n"
                        "  --data_dir              Where the data is.\n"));
  EXPECT_THAT(ran.output, Not(HasSubstr("a_flag_of_a_library")));
  EXPECT_THAT(ran.output, Not(HasSubstr("helpxml")));
  size_t begin = 0;
  for (size_t end; (end = ran.output.find('\n', begin)) != std::string::npos; begin = end + 1) {
    EXPECT_LE(end - begin, 100u) << ran.output.substr(begin, end - begin);
  }
}

TEST(FlagsTest, HelpShowsDefaultsNotValues) {
  EXPECT_EQ(RunProgram("--steps=7 --help").output, RunProgram("--help").output);
}

TEST(FlagsTest, PrintsItsVersion) {
  const Ran ran = RunProgram("--version");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.output, ::testing::MatchesRegex("flags_program [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(FlagsTest, HelpIsMarkdownForTheDocumentation) {
  const Ran ran = RunProgram("--help=markdown");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.output, HasSubstr("## flags_program\n    usage: flags_program"));
  EXPECT_THAT(ran.output, HasSubstr("| flag | value | default | |\n|---|---|---|---|\n"));
  EXPECT_THAT(ran.output, HasSubstr("| `--learning_rate` | number | `0.01` | "));
  EXPECT_THAT(ran.output, HasSubstr("| `--resume` | yes or no | `false` | "));
  EXPECT_THAT(RunProgram("--help=html").output, HasSubstr("unknown flag --help"));
}

}  // namespace
}  // namespace parley
