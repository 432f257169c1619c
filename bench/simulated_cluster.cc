#include "bench/simulated_cluster.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/testing/simulation.h"
#include "bench/simulated_faults.h"
#include "bench/simulated_tasks.h"

namespace parley {
namespace {

// When the faults are over, the job is to end within this, and its ps tasks soon after.
constexpr absl::Duration kPatience = absl::Minutes(4);

// The workers have left: the ps tasks end, and nothing is left of the job in etcd.
void AwaitEnd(SimulatedTasks* tasks, SimulatedFaults* faults) {
  const SimulatedScenario& scenario = tasks->scenario();
  const bool goes_on = scenario.keeping == SimulatedKeeping::kLog;  // whoever is started again
  const absl::Duration left = Simulation::Elapsed();
  const absl::Duration done = std::min(tasks->done(), left);
  // One that was started when the job was about to end knows nothing of it: it waits for another.
  const auto is_late = [&](const SimulatedTasks::PsTask& task) {
    return !goes_on && (task.process == nullptr || task.ready > done - absl::Seconds(10));
  };
  const auto& ps = tasks->ps();
  const bool any_late = std::any_of(ps.begin(), ps.end(), [&](const SimulatedTasks::PsTask& task) {
    return (task.wanted || task.process != nullptr) && !task.gone && is_late(task);
  });
  const auto ended = [&] {
    return std::all_of(ps.begin(), ps.end(), [&](const SimulatedTasks::PsTask& task) {
      return task.over || task.gone || is_late(task);
    });
  };
  while (!tasks->is_over() && !ended() && Simulation::Elapsed() < left + absl::Minutes(1)) {
    if (goes_on) faults->Restart();
    Simulation::Sleep(absl::Milliseconds(500));
  }
  if (!tasks->is_over() && !ended()) tasks->Violate("the job is over, and a ps task does not end");
  while (!tasks->is_over() && !any_late && !tasks->etcd().Look("/").entries.empty()) {
    Simulation::Sleep(absl::Milliseconds(500));
    if (Simulation::Elapsed() > left + absl::Minutes(2)) {
      tasks->Violate("the job is over, and etcd still has ",
                     tasks->etcd().Look("/").entries[0].key);
    }
  }
}

void Run(SimulatedTasks* tasks) {
  const SimulatedScenario& scenario = tasks->scenario();
  if (const std::string wrong = tasks->oracle().RunUndisturbed(); !wrong.empty()) {
    return tasks->Violate("undisturbed it fails: ", wrong);
  }
  auto* const faults = new SimulatedFaults(tasks);  // as the tasks
  faults->Start();
  for (int i = 0; i < scenario.faults && !tasks->is_over() && !tasks->AllLeft(); ++i) {
    faults->Supervise(Simulation::random().UpTo(absl::Milliseconds(700)));
    faults->Disturb();
  }
  faults->End();
  const absl::Duration healed = Simulation::Elapsed();
  while (!tasks->is_over() && !tasks->AllLeft() && Simulation::Elapsed() < healed + kPatience) {
    faults->Supervise(absl::Seconds(1));
  }
  if (!tasks->is_over() && !tasks->AllLeft()) tasks->Violate("the job does not end");
  AwaitEnd(tasks, faults);
  for (const SimulatedTasks::PsTask& task : tasks->ps()) {
    if (task.disk != nullptr)
      tasks->Count("writes for which there was no room", task.disk->found_full());
  }
}

// That of which nothing may be left out in a test: named by what of a job was there, too.
void CountScenario(SimulatedTasks* tasks) {
  const SimulatedScenario& scenario = tasks->scenario();
  const bool replicates = scenario.keeping == SimulatedKeeping::kReplica || scenario.takes_over();
  if (scenario.norms != SimulatedNorms::kNone && replicates)
    tasks->Count("jobs with norms and copies");
  if (scenario.takes_over() && scenario.logs) tasks->Count("jobs with logs, copies and etcd");
  if (scenario.policy == SimulatedPolicy::kBackupWorkers) tasks->Count("jobs with backup workers");
}

}  // namespace

void RunSimulatedCluster(const SimulatedScenario& scenario,
                         const std::function<void(const SimulatedResult&)>& report) {
  SimulationOptions options;
  options.seed = scenario.seed;
  options.switch_one_in = scenario.switch_one_in;
  options.delay_one_in = 10;
  SimulatedTasks* tasks = nullptr;
  SimulatedResult result;
  Simulation::Run(
      options,
      [&] {
        tasks = new SimulatedTasks(scenario);
        CountScenario(tasks);
        Run(tasks);
        result.violation = tasks->violation();
        result.elapsed = Simulation::Elapsed();
        result.trace = Simulation::trace();
        result.counts = tasks->network().counts();
      },
      [&](const std::string& why) {
        if (tasks != nullptr) result.violation = tasks->violation();
        if (result.violation.empty()) result.violation = why;
        report(result);
        _exit(0);
      });
  report(result);
  _exit(0);
}

}  // namespace parley
