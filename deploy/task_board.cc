#include "deploy/task_board.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace parley {
namespace {

bool IsPs(const BoardTask& task) { return absl::StartsWith(task.name, "ps:"); }

}  // namespace

std::string DrawBoard(std::vector<BoardTask> tasks, BoardSize size, bool colors) {
  std::stable_partition(tasks.begin(), tasks.end(),
                        [](const BoardTask& task) { return !IsPs(task); });
  // A line is left for what the tasks print, and one for the cursor.
  const size_t room = static_cast<size_t>(std::max(2, size.rows - 2));
  const size_t shown = tasks.size() <= room ? tasks.size() : room - 1;
  const size_t width = static_cast<size_t>(std::max(20, size.columns)) - 1;
  size_t longest = 0;
  for (size_t i = 0; i < shown; ++i) longest = std::max(longest, tasks[i].name.size());
  std::string board;
  for (size_t i = 0; i < shown; ++i) {
    const BoardTask& task = tasks[i];
    std::string line = absl::StrFormat("%-*s  %-8s  %s", static_cast<int>(longest), task.name,
                                       task.state, task.progress);
    line = line.substr(0, width);
    line.erase(line.find_last_not_of(' ') + 1);
    if (colors && line.size() >= task.name.size()) {
      line = absl::StrCat(IsPs(task) ? "\033[36m" : "\033[32m", task.name, "\033[0m",
                          line.substr(task.name.size()));
    }
    absl::StrAppend(&board, line, "\n");
  }
  if (shown < tasks.size()) {
    absl::StrAppend(&board, "and ", tasks.size() - shown, " more tasks\n");
  }
  return board;
}

}  // namespace parley
