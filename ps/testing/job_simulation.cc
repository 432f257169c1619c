#include "ps/testing/job_simulation.h"

#include <algorithm>
#include <map>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/testing/simulated_random.h"
#include "ps/shard_state.h"

namespace parley {
namespace {

constexpr absl::Duration kLease = absl::Milliseconds(60);
constexpr absl::Duration kReplaceAfter = absl::Milliseconds(40);
constexpr absl::Duration kHeartbeat = absl::Milliseconds(20);
constexpr absl::Duration kWait = absl::Milliseconds(400);
constexpr absl::Duration kLongest = absl::Seconds(60);

v1::JobSpec SpecOf(int workers, const std::vector<v1::Policy>& policies) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(workers);
  spec.set_num_shards(1);
  for (size_t i = 0; i < policies.size(); ++i) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", i));
    parameter->set_dtype(v1::FLOAT32);
    *parameter->mutable_policy() = policies[i];
  }
  spec.mutable_optimizer()->mutable_sgd();
  *spec.mutable_policy() = policies[0];
  return spec;
}

}  // namespace

SimulatedJob::SimulatedJob(std::string name, int workers, int64_t steps,
                           std::vector<v1::Policy> policies, bool may_lose)
    : name_(std::move(name)),
      steps_(steps),
      may_lose_(may_lose),
      job_(Job::Create(SpecOf(workers, policies)).value()),
      specs_(std::move(policies)) {
  for (const v1::Policy& policy : specs_) {
    policies_.push_back(NewPolicy(policy, workers).value());
  }
}

class Simulation {
 public:
  Simulation(const SimulatedJob& job, uint64_t seed)
      : job_(job),
        random_(seed),
        blocks_(job.specs_.size()),
        workers_(job.job_.spec().num_workers()),
        slowness_(1 + random_.Below(3)),
        state_({"ps:0", kLease, kReplaceAfter}, &job.job_, Numbers(blocks_), Policies(job),
               std::vector<ShardState::BlockClocks>(blocks_),
               WorkerCounts(job.job_.spec().num_workers())),
        applied_(blocks_, 0),
        unapplied_(blocks_, 0) {
    history_.workers = static_cast<int>(workers_.size());
    history_.lease = kLease;
    history_.replace_after = kReplaceAfter;
    history_.policies = job.specs_;
    for (size_t i = 0; i < workers_.size(); ++i) {
      At(random_.UpTo(absl::Milliseconds(30)), What::kStart, i);
    }
  }

  History Run(std::string* fault) {
    while (!queue_.empty() && fault_.empty()) {
      const Entry entry = queue_.top();
      // What a tick sets off may come before the entry.
      if (const absl::Time next = state_.NextDeadline(); next <= entry.time) {
        Tick(next);
        continue;
      }
      queue_.pop();
      now_ = entry.time;
      Do(entry);
      if (now_ - absl::UnixEpoch() > kLongest) Fault("the job does not end");
    }
    for (size_t i = 0; i < workers_.size(); ++i) {
      const Place place = workers_[i].place;
      if (place != Place::kDone && place != Place::kGone) Fault("worker ", i, " is stuck");
    }
    *fault = fault_;
    return std::move(history_);
  }

 private:
  using Kind = HistoryEvent::Kind;
  enum class What { kStart, kBeat, kComputed, kApply, kMishap, kAwake };
  enum class Place { kOut, kJoining, kPulling, kComputing, kPushing, kDone, kGone };

  struct Entry {
    absl::Time time;
    uint64_t order;
    What what;
    size_t index;   // worker, or block
    uint64_t life;  // of the worker: what belongs to an earlier one is over
    bool operator<(const Entry& other) const {
      return time != other.time ? time > other.time : order > other.order;
    }
  };
  struct Worker {
    Place place = Place::kOut;
    uint64_t life = 0;  // its incarnation
    int64_t step = 0;
    uint64_t sequence = 0;
    uint64_t token = 0;     // of what it waits for
    size_t gradient = 0;    // of its last push
    bool paused = false;    // it neither acts nor sends heartbeats
    bool computed = false;  // while it was
    bool answered = false;
    std::vector<int64_t> versions;
  };

  static std::vector<uint32_t> Numbers(size_t blocks) {
    std::vector<uint32_t> numbers(blocks);
    for (size_t i = 0; i < blocks; ++i) numbers[i] = static_cast<uint32_t>(i);
    return numbers;
  }
  static std::vector<const Policy*> Policies(const SimulatedJob& job) {
    std::vector<const Policy*> policies;
    for (const auto& policy : job.policies_) policies.push_back(policy.get());
    return policies;
  }

  static bool IsOut(const Worker& worker) {
    return worker.place == Place::kOut || worker.place == Place::kDone ||
           worker.place == Place::kGone;
  }

  template <typename... Words>
  void Fault(const Words&... words) {
    if (fault_.empty()) fault_ = absl::StrCat(words...);
  }

  void At(absl::Duration delay, What what, size_t index) {
    const bool block = what == What::kApply;
    queue_.push({now_ + delay, ++order_, what, index, block ? 0 : workers_[index].life});
  }

  HistoryEvent& Record(Kind kind, int worker = -1) {
    HistoryEvent& event = history_.events.emplace_back();
    event.kind = kind;
    event.time = now_;
    event.worker = worker;
    return event;
  }

  // As a shard's timer does, at a deadline.
  void Tick(absl::Time deadline) {
    now_ = std::max(now_, deadline);
    Record(Kind::kTicked);
    Take(state_.Tick(now_));
    if (state_.NextDeadline() <= now_) Fault("a tick left something overdue");
  }

  void Do(const Entry& entry) {
    if (entry.what == What::kApply) {
      Record(Kind::kApplied).block = entry.index;
      ++applied_[entry.index];
      Take(state_.Applied(entry.index));
      if (--unapplied_[entry.index] > 0) At(ApplyTime(), What::kApply, entry.index);
      return;
    }
    Worker& worker = workers_[entry.index];
    if (entry.life != worker.life) return;
    const int index = static_cast<int>(entry.index);
    switch (entry.what) {
      case What::kStart:
        return Start(index);
      case What::kBeat:
        if (IsOut(worker)) return;
        At(kHeartbeat, What::kBeat, entry.index);
        if (worker.paused || worker.place == Place::kJoining) return;
        Record(Kind::kHeard, index);
        if (!state_.Heartbeat(index, worker.life, now_).ok() && !failed_) {
          Fault("a heartbeat of worker ", index, " is refused");
        }
        return;
      case What::kComputed:
        if (worker.place != Place::kComputing) return;
        worker.computed = true;
        if (!worker.paused) Push(index);
        return;
      case What::kMishap:
        return Mishap(index);
      case What::kAwake:
        if (IsOut(worker)) return;
        worker.paused = false;
        if (worker.computed) return Push(index);
        if (worker.answered) return GoOn(index);
        return;
      case What::kApply:
        return;
    }
  }

  absl::Duration ApplyTime() { return random_.UpTo(absl::Milliseconds(2)); }

  void Start(int index) {
    Worker& worker = workers_[index];
    const uint64_t life = worker.life + 1;
    worker = Worker();
    worker.life = life;
    worker.place = Place::kJoining;
    worker.versions.resize(blocks_);
    worker.token = ++tokens_;
    HistoryEvent& event = Record(Kind::kAskedToJoin, index);
    event.incarnation = life;
    event.token = worker.token;
    event.deadline = now_ + kWait;
    const absl::Time deadline = event.deadline;
    At(kHeartbeat, What::kBeat, static_cast<size_t>(index));
    if (random_.OneIn(2)) {
      At(random_.UpTo(absl::Milliseconds(150)), What::kMishap, static_cast<size_t>(index));
    }
    Take(state_.Join(worker.token, index, life, now_, deadline));
  }

  void Mishap(int index) {
    Worker& worker = workers_[index];
    if (IsOut(worker) || worker.place == Place::kJoining || worker.paused) return;
    const absl::Duration gap = random_.UpTo(3 * kLease);
    switch (random_.Below(job_.may_lose_ ? 5 : 3)) {
      case 0:  // the answer was lost: the same request again
        if (worker.place == Place::kPushing) Send(index, /*push=*/true, /*fresh=*/false);
        if (worker.place == Place::kPulling) Send(index, /*push=*/false, /*fresh=*/false);
        return;
      case 1:  // it is silent for a while
        worker.paused = true;
        At(gap, What::kAwake, static_cast<size_t>(index));
        return;
      case 2:  // it dies, and is started again
        worker.place = Place::kOut;
        worker.paused = true;
        worker.computed = worker.answered = false;
        worker.token = 0;
        At(gap, What::kStart, static_cast<size_t>(index));
        return;
      case 3:  // it dies for good
        worker.place = Place::kGone;
        worker.token = 0;
        return;
      case 4:  // it leaves, and perhaps comes back
        Leave(index);
        if (random_.OneIn(2)) {
          worker.place = Place::kOut;
          At(gap, What::kStart, static_cast<size_t>(index));
        }
        return;
    }
  }

  void Leave(int index) {
    Worker& worker = workers_[index];
    worker.place = Place::kGone;
    worker.answered = worker.computed = false;
    worker.token = 0;
    Record(Kind::kLeft, index);
    ShardState::Actions actions;
    const absl::Status status = state_.Leave(index, worker.life, "", now_, &actions);
    if (!status.ok()) Fault("worker ", index, " cannot leave: ", status.ToString());
    Take(std::move(actions));
  }

  // Its last push, with a pull of the next step; or a pull of its step.
  void Send(int index, bool push, bool fresh) {
    Worker& worker = workers_[index];
    worker.token = ++tokens_;
    ShardState::PushPull request;
    request.token = worker.token;
    request.worker = index;
    request.incarnation = worker.life;
    request.step = worker.step;
    request.sequence = push ? worker.sequence : 0;
    request.pull_step = push ? worker.step + 1 : worker.step;
    request.deadline = now_ + kWait;
    HistoryEvent& event = Record(Kind::kAsked, index);
    event.token = worker.token;
    event.deadline = request.deadline;
    event.pushes = push;
    event.fresh = fresh;
    event.pulls = true;
    event.step = request.pull_step;
    event.gradient = worker.gradient;
    for (size_t block = 0; block < blocks_; ++block) {
      request.pulls.push_back(block);
      if (!push) continue;
      const auto number = std::make_shared<size_t>(worker.gradient);
      Payload payload;
      payload.Append(number.get(), sizeof(size_t), number);
      request.pushes.push_back(
          {block, history_.gradients[worker.gradient].base[block], std::move(payload)});
    }
    Take(state_.HandlePushPull(std::move(request), now_));
  }

  void Push(int index) {
    Worker& worker = workers_[index];
    worker.computed = false;
    worker.place = Place::kPushing;
    worker.gradient = history_.gradients.size();
    history_.gradients.push_back({index, worker.life, worker.step, worker.versions});
    ++worker.sequence;
    Send(index, /*push=*/true, /*fresh=*/true);
  }

  void Compute(int index) {
    Worker& worker = workers_[index];
    worker.answered = false;
    if (worker.step >= job_.steps_) {
      Leave(index);
      worker.place = Place::kDone;
      return;
    }
    worker.place = Place::kComputing;
    absl::Duration longest = absl::Milliseconds(12);
    if (index == 0) longest *= slowness_;
    At(random_.UpTo(longest), What::kComputed, static_cast<size_t>(index));
  }

  // With the answer to what it waited for.
  void GoOn(int index) {
    Worker& worker = workers_[index];
    if (worker.place == Place::kJoining) {
      worker.place = Place::kPulling;
      worker.answered = false;
      Send(index, /*push=*/false, /*fresh=*/false);
    } else {
      Compute(index);
    }
  }

  void Answered(const ShardState::Answer& answer) {
    HistoryEvent& event = Record(Kind::kAnswered);
    event.token = answer.token;
    event.code = answer.status.code();
    event.step = answer.step;
    for (size_t i = 0; i < workers_.size(); ++i) {
      Worker& worker = workers_[i];
      if (worker.token != answer.token) continue;
      const int index = static_cast<int>(i);
      worker.token = 0;
      if (absl::IsDeadlineExceeded(answer.status) || absl::IsAlreadyExists(answer.status)) {
        // Whoever it waited for is not there: in a job that needs all, a mishap lasted too long.
        again_.push_back(index);
        return;
      }
      if (!answer.status.ok()) {
        Fault("worker ", index, " is told ", answer.status.ToString());
        return;
      }
      if (worker.place != Place::kJoining) worker.versions = applied_;
      if (worker.place == Place::kPushing) ++worker.step;
      worker.step = std::max(worker.step, answer.step);
      worker.answered = true;
      if (!worker.paused) ready_.push_back(index);
      return;
    }
  }

  void Take(ShardState::Actions actions) {
    for (ShardState::Round& round : actions.rounds) {
      HistoryEvent& event = Record(Kind::kRound);
      event.block = round.block;
      for (const Gradient& gradient : round.gradients) {
        size_t number;
        gradient.payload.CopyTo(&number);
        event.gradients.push_back(number);
      }
      if (unapplied_[round.block]++ == 0) At(ApplyTime(), What::kApply, round.block);
    }
    for (const ShardState::Answer& answer : actions.answers) Answered(answer);
    if (taking_) return;
    taking_ = true;  // what the workers do next gives more actions
    while (!ready_.empty() || !again_.empty()) {
      if (!ready_.empty()) {
        const int index = ready_.back();
        ready_.pop_back();
        if (workers_[index].answered) GoOn(index);
        continue;
      }
      const int index = again_.back();
      again_.pop_back();
      Worker& worker = workers_[index];
      if (IsOut(worker)) continue;
      if (worker.place == Place::kJoining) {
        worker.place = Place::kOut;
        At(random_.UpTo(kLease), What::kStart, static_cast<size_t>(index));
      } else {
        Send(index, worker.place == Place::kPushing, /*fresh=*/false);
      }
    }
    taking_ = false;
  }

  const SimulatedJob& job_;
  SimulatedRandom random_;
  const size_t blocks_;
  std::vector<Worker> workers_;
  const int64_t slowness_;  // of worker 0
  ShardState state_;
  absl::Time now_ = absl::UnixEpoch();
  std::priority_queue<Entry> queue_;
  uint64_t order_ = 0;
  uint64_t tokens_ = 0;
  std::vector<int64_t> applied_;    // by block
  std::vector<int64_t> unapplied_;  // by block: rounds closed and not applied
  std::vector<int> ready_, again_;  // workers that were answered, and that must ask again
  bool taking_ = false;
  bool failed_ = false;
  History history_;
  std::string fault_;
};

History SimulatedJob::Run(uint64_t seed, std::string* fault) const {
  return Simulation(*this, seed).Run(fault);
}

}  // namespace parley
