#include "deploy/remote_command.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(QuoteForShellTest, KeepsWhateverStandsInAWord) {
  EXPECT_EQ(QuoteForShell("a b"), "'a b'");
  EXPECT_EQ(QuoteForShell("it's $HOME"), "'it'\\''s $HOME'");
}

// Runs what ssh would have the host run.
class RemoteCommandTest : public ::testing::Test {
 protected:
  void Start(const std::string& script) {
    const std::vector<std::string> words =
        RemoteCommand({"ssh", "-v"}, "host", "/", {"/bin/sh", "-c", script});
    ASSERT_EQ(words[0], "ssh");
    ASSERT_EQ(words[words.size() - 2], "host");
    ASSERT_EQ(pipe(in_), 0);
    ASSERT_EQ(pipe(out_), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in_[0], 0);
      dup2(out_[1], 1);
      for (const int end : {in_[0], in_[1], out_[0], out_[1]}) close(end);
      execl("/bin/sh", "sh", "-c", words.back().c_str(), nullptr);
      _exit(126);
    }
    close(in_[0]);
    close(out_[1]);
  }
  // Up to the next end of line.
  std::string ReadLine() {
    std::string line;
    for (char c; read(out_[0], &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    close(out_[0]);
    return status;
  }

  int in_[2], out_[2];
  pid_t pid_ = -1;
};

TEST_F(RemoteCommandTest, TheExitCodeIsTheProgramsAndItStartsInTheFolder) {
  Start("pwd; exit 7");
  EXPECT_EQ(ReadLine(), "/");
  const int status = Wait();
  close(in_[1]);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(RemoteCommandTest, SignalsComeThroughStdin) {
  Start("trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
  EXPECT_EQ(ReadLine(), "ready");
  ASSERT_EQ(write(in_[1], "TERM\n", 5), 5);
  EXPECT_EQ(ReadLine(), "stopped");
  const int status = Wait();
  close(in_[1]);
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST_F(RemoteCommandTest, TheEndOfStdinKillsWhateverItDoes) {
  Start("trap '' TERM INT; echo ready; while :; do sleep 0.01; done");
  EXPECT_EQ(ReadLine(), "ready");
  close(in_[1]);
  const int status = Wait();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

}  // namespace
}  // namespace parley
