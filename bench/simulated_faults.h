#ifndef PARLEY_BENCH_SIMULATED_FAULTS_H_
#define PARLEY_BENCH_SIMULATED_FAULTS_H_

#include <vector>

#include "absl/time/time.h"
#include "bench/simulated_tasks.h"
#include "net/shard_records.h"

namespace parley {

// What happens on purpose to the tasks of a simulated job, and whoever starts again what has ended.
// Nothing is done from which the job cannot recover, by what docs/guarantees.md says: of a shard
// that is at two tasks one lives, or both have it on their disks.
// Used inside Simulation::Run by one thread.
class SimulatedFaults {
 public:
  explicit SimulatedFaults(SimulatedTasks* tasks);

  // What the job begins with.
  void Start();
  // One fault, where the one that was drawn may be.
  void Disturb();
  // Starts again what has ended, sooner or later, for so long, or until the job is over.
  void Supervise(absl::Duration duration);
  // Starts what has ended, sooner or later.
  void Restart();
  // Disks and network are as they should be from now on, and what ends is started at once.
  void End();

  // That there are to be.
  int num_tasks() const { return num_tasks_; }

 private:
  using PsTask = SimulatedTasks::PsTask;
  using WorkerTask = SimulatedTasks::WorkerTask;

  bool takes_over() const { return scenario_.takes_over(); }
  bool MayKill(const PsTask& task);
  // Whether all ps tasks may die at once: each goes on from its log.
  bool MayKillAll();
  // As an operator with `parley scale --ps`, who starts tasks before that or afterwards, and none
  // again that is to go.
  void Scale();
  // As `parley scale --workers`.
  void ScaleWorkers();
  void AskWorkers(int shard, const PsTask& task);
  void DisturbPs(PsTask* task);
  void DisturbWorker(WorkerTask* task, PsTask* ps);
  void FillDisk(PsTask* task);
  void PowerFails();
  void CutSomewhere();
  void LookForLeaders();

  SimulatedTasks* const tasks_;
  const SimulatedScenario& scenario_;
  bool over_ = false;
  bool scaling_ = false;  // somebody has asked for other workers
  int num_tasks_;
  std::vector<TaskStart> leaders_;                // by shard, the last ones
  std::vector<absl::Duration> led_since_;         // by shard, at the latest
  std::vector<absl::Duration> leaderless_since_;  // by shard
};

}  // namespace parley

#endif  // PARLEY_BENCH_SIMULATED_FAULTS_H_
