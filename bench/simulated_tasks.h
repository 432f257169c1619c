#ifndef PARLEY_BENCH_SIMULATED_TASKS_H_
#define PARLEY_BENCH_SIMULATED_TASKS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/testing/faulty_env.h"
#include "base/testing/memory_env.h"
#include "base/testing/simulation.h"
#include "bench/simulated_oracle.h"
#include "bench/simulated_scenario.h"
#include "net/discovery.h"
#include "net/shard_records.h"
#include "net/testing/simulated_etcd.h"
#include "net/testing/simulated_network.h"
#include "ps/server.h"
#include "worker/client.h"

namespace parley {

// The tasks of a simulated job: the real Servers and Clients, as parley_ps and parley_worker run
// them, each in a SimulatedProcess, with the network, disk and etcd between them. What a worker
// sees goes to the oracle; what breaks a promise is violation().
//
// Everything is called inside Simulation::Run. Never deleted: threads that were dropped use it.
class SimulatedTasks {
 public:
  static constexpr absl::Duration kTimeout = absl::Minutes(2);  // of a worker's calls
  static constexpr absl::Duration kStandbyPatience = absl::Seconds(10);

  struct PsTask {
    int index;
    std::string host;
    std::string address;
    int starts = 0;
    SimulatedProcess* process = nullptr;  // null: it is not running
    Server* server = nullptr;             // of the process; dropped with it
    uint64_t start = 0;
    absl::Duration started;
    absl::Duration ready;  // when it began to serve
    bool failed = false;   // its program has ended with an error
    bool forgets = false;  // the job is done, and it keeps nothing of it any more
    bool over = false;     // its program has ended in good order, with the job
    bool wanted = true;    // whoever starts tasks starts it again
    bool gone = false;     // its program has ended, since the job goes on without it
    bool asked = false;    // to end when others have what is here
    std::unique_ptr<FaultyEnv> disk;
  };
  struct WorkerTask {
    int index;
    std::string host;
    uint64_t incarnation = 0;
    SimulatedProcess* process = nullptr;
    int64_t begun = 0;    // steps
    bool member = false;  // has been one
    bool failed = false;  // its program has ended with an error
    bool trained = false;
    bool left = false;
  };

  explicit SimulatedTasks(const SimulatedScenario& scenario);

  const SimulatedScenario& scenario() const { return scenario_; }
  SimulatedNetwork& network() { return network_; }
  SimulatedEtcd& etcd() { return etcd_; }
  MemoryEnv& files() { return files_; }
  std::vector<PsTask>& ps() { return ps_; }
  std::vector<WorkerTask>& workers() { return workers_; }

  void StartPs(PsTask* task);
  // Kills it; `says_so`: its host lives, and tells who is connected.
  void EndPs(PsTask* task, bool says_so);
  void StartWorker(WorkerTask* task);
  void KillWorker(WorkerTask* task);

  // Of those that the job begins with.
  bool IsFirst(const WorkerTask& task) const { return task.index < scenario_.workers; }
  bool IsAlive(const TaskStart& who) const;
  bool AllTrained() const;
  bool AllLeft() const;

  template <typename... Words>
  void Violate(const Words&... words) {
    Violated(absl::StrCat(words...));
  }
  const std::string& violation() const { return violation_; }
  // Whether there is nothing more to see.
  bool is_over() const { return ended_ || !violation_.empty(); }
  void Count(const std::string& what, int64_t times = 1) {
    for (int64_t i = 0; i < times; ++i) network_.Count(what);
  }

  // When the last step of those began that all shards have acknowledged, and had not before.
  absl::Duration fresh_step() const { return fresh_step_; }
  // When the first ps task took the job for done.
  absl::Duration done() const { return done_; }
  // What no promise is against has come about: workers may fail.
  void a_disk_failed() { disk_failed_ = true; }
  void shard_was_given_up() { given_up_ = true; }
  // Changes when a worker does.
  const void* changed() const { return &changed_; }

  SimulatedOracle& oracle() { return oracle_; }

 private:
  void Violated(const std::string& why);
  void Serve(PsTask* task);
  void Stop(PsTask* task, std::unique_ptr<ShardRegistration> registration,
            std::unique_ptr<Server> server);
  void Fail(PsTask* task, std::unique_ptr<Server>* server);
  void Work(WorkerTask* task, uint64_t incarnation);
  // Whether the worker's error is one that no promise is against.
  bool Excuses(WorkerTask* task, const absl::Status& status);
  absl::Status Train(WorkerTask* task, uint64_t incarnation, std::unique_ptr<Client>* entered);
  absl::StatusOr<std::unique_ptr<Client>> Connect(const WorkerTask& task, uint64_t incarnation);
  void Check(const WorkerTask& task, int64_t version, const SimulatedValues& values,
             const SimulatedOracle::Seen& seen, const WorkerCounts& counts);

  const SimulatedScenario scenario_;
  SimulatedNetwork network_;
  SimulatedEtcd etcd_;
  MemoryEnv files_;
  SimulatedOracle oracle_;
  std::vector<PsTask> ps_;
  std::vector<WorkerTask> workers_;
  absl::Duration fresh_step_ = absl::ZeroDuration();
  absl::Duration done_ = absl::InfiniteDuration();
  bool disk_failed_ = false;
  bool given_up_ = false;
  bool ended_ = false;  // by what no promise is against
  std::string violation_;
  int changed_ = 0;  // waited on
};

}  // namespace parley

#endif  // PARLEY_BENCH_SIMULATED_TASKS_H_
