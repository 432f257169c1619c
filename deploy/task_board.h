#ifndef PARLEY_DEPLOY_TASK_BOARD_H_
#define PARLEY_DEPLOY_TASK_BOARD_H_

#include <string>
#include <vector>

namespace parley {

// What a board says of one task.
struct BoardTask {
  std::string name;      // "worker:1"
  std::string state;     // "starting", "training", "done"
  std::string progress;  // "step 120/468 loss 0.4321 5230 samples/s"
};

struct BoardSize {
  int rows = 24;
  int columns = 80;
};

// A task a line, workers above ps tasks, as they fit on a terminal of this size: lines are cut, and
// those of the last tasks become one that counts them. Each ends with a line feed. With `colors`
// names are coloured. Pure.
std::string DrawBoard(std::vector<BoardTask> tasks, BoardSize size, bool colors);

}  // namespace parley

#endif  // PARLEY_DEPLOY_TASK_BOARD_H_
