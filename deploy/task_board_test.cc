#include "deploy/task_board.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(DrawBoardTest, HasALineForEachTaskWorkersFirst) {
  EXPECT_EQ(DrawBoard({{"ps:0", "serving", "round 7"},
                       {"worker:0", "training", "step 7/9 loss 0.5"},
                       {"worker:10", "starting", ""}},
                      {}, /*colors=*/false),
            "worker:0   training  step 7/9 loss 0.5\n"
            "worker:10  starting\n"
            "ps:0       serving   round 7\n");
}

TEST(DrawBoardTest, ColoursNames) {
  EXPECT_EQ(DrawBoard({{"ps:0", "done", ""}, {"worker:0", "done", ""}}, {}, /*colors=*/true),
            "\033[32mworker:0\033[0m  done\n\033[36mps:0\033[0m      done\n");
}

TEST(DrawBoardTest, FitsOnTheTerminal) {
  std::vector<BoardTask> tasks;
  for (int i = 0; i < 100; ++i) {
    tasks.push_back({absl::StrCat("worker:", i), "training", std::string(200, 'x')});
  }
  const std::string board = DrawBoard(tasks, {10, 40}, /*colors=*/false);
  EXPECT_EQ(std::count(board.begin(), board.end(), '\n'), 8);
  EXPECT_NE(board.find("and 93 more tasks\n"), std::string::npos);
  size_t begin = 0;
  for (size_t end; (end = board.find('\n', begin)) != std::string::npos; begin = end + 1) {
    EXPECT_LT(end - begin, 40u);
  }
  EXPECT_NE(DrawBoard(tasks, {0, 0}, false), "");  // of a terminal that does not say
}

}  // namespace
}  // namespace parley
