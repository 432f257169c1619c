#include "ps/testing/history.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

using Kind = HistoryEvent::Kind;

enum class Rule { kLockstep, kQuorum, kBounded, kFree };

// One phase of a block, as its spec says.
struct PhaseRule {
  Rule rule = Rule::kFree;
  int64_t end = -1;  // -1: never
  int replicas = 0;
  int limit = 0;
  bool awaits_silent = true;
};

std::vector<PhaseRule> RulesOf(const v1::Policy& policy, int workers) {
  std::vector<PhaseRule> rules;
  const auto add = [&](const v1::Policy& one, int64_t end) {
    PhaseRule rule;
    rule.end = end;
    if (one.has_synchronous()) {
      const int asked = one.synchronous().replicas_to_aggregate();
      rule.replicas = asked == 0 ? workers : asked;
      rule.awaits_silent = one.synchronous().await_silent();
      rule.rule = rule.replicas == workers && rules.empty() ? Rule::kLockstep : Rule::kQuorum;
    } else if (one.has_bounded_staleness()) {
      rule.rule = Rule::kBounded;
      rule.limit = one.bounded_staleness().limit();
      rule.awaits_silent = false;
    }
    rules.push_back(rule);
  };
  if (!policy.has_phases()) add(policy, -1);
  int64_t end = 0;
  for (const v1::Phases::Phase& phase : policy.phases().phase()) {
    end += phase.rounds();
    add(phase.policy(), phase.rounds() == 0 ? -1 : end);
  }
  return rules;
}

class Checker {
 public:
  explicit Checker(const History& history) : history_(history), workers_(history.workers) {
    for (const v1::Policy& policy : history.policies) {
      Block& block = blocks_.emplace_back();
      block.rules = RulesOf(policy, history.workers);
      block.workers.resize(workers_.size());
    }
  }

  std::string Check() {
    for (size_t i = 0; i < history_.events.size() && fault_.empty(); ++i) {
      const HistoryEvent& event = history_.events[i];
      if (i > 0 && event.time > history_.events[i - 1].time) {
        CheckWaiting(history_.events[i - 1].time, event.time);
      }
      if (fault_.empty()) Take(event);
      if (!fault_.empty()) fault_ = absl::StrCat("event ", i, ": ", fault_);
    }
    return fault_;
  }

 private:
  struct WorkerState {
    bool joined = false, left = false, silent = false;
    uint64_t incarnation = 0;
    absl::Time heard;
  };
  struct WorkerInBlock {
    int64_t clock = 0;
    int64_t taken_below = 0;
    std::optional<size_t> pending;  // its gradient in the open round
    int64_t sees = 0;               // the version that has all that it has pushed
    std::set<int64_t> steps;        // whose gradient is in a round or in the open one
  };
  struct Block {
    std::vector<PhaseRule> rules;
    std::vector<WorkerInBlock> workers;
    int64_t scheduled = 0, applied = 0;

    size_t PhaseOf(int64_t round) const {
      size_t phase = 0;
      while (phase + 1 < rules.size() && round >= rules[phase].end) ++phase;
      return phase;
    }
    const PhaseRule& rule() const { return rules[PhaseOf(scheduled)]; }
  };
  struct Request {
    int worker;
    absl::Time deadline;
    bool joins = false, pulls = false;
    uint64_t incarnation = 0;
    int64_t step = 0;
    std::vector<size_t> phases;  // by block: when it was asked
  };

  template <typename... Words>
  void Fault(const Words&... words) {
    if (fault_.empty()) fault_ = absl::StrCat(words...);
  }

  // Whether the block's open round counts on the worker.
  bool Awaits(const PhaseRule& rule, size_t worker) const {
    const WorkerState& state = workers_[worker];
    return !state.left && (rule.awaits_silent || !state.silent);
  }

  int64_t SlowestOther(const Block& block, size_t worker, int64_t otherwise) const {
    std::optional<int64_t> slowest;
    for (size_t other = 0; other < workers_.size(); ++other) {
      if (other == worker || workers_[other].left || workers_[other].silent) continue;
      const int64_t clock = block.workers[other].clock;
      slowest = slowest ? std::min(*slowest, clock) : clock;
    }
    return slowest.value_or(otherwise);
  }
  static int64_t Furthest(const Block& block) {
    int64_t furthest = 0;
    for (const WorkerInBlock& worker : block.workers) furthest = std::max(furthest, worker.clock);
    return furthest;
  }
  void LevelWithSlowest(size_t worker, bool all) {
    for (Block& block : blocks_) {
      if (!all && block.rule().awaits_silent) continue;
      int64_t& clock = block.workers[worker].clock;
      clock = std::max(clock, SlowestOther(block, worker, clock));
    }
  }

  void Hear(int worker, absl::Time time) { workers_[worker].heard = time; }
  // It pulls.
  void ComeBack(int worker) {
    if (!workers_[worker].silent) return;
    workers_[worker].silent = false;
    LevelWithSlowest(worker, /*all=*/false);
  }

  void Take(const HistoryEvent& event) {
    switch (event.kind) {
      case Kind::kAskedToJoin: {
        Request request;
        request.worker = event.worker;
        request.deadline = event.deadline;
        request.joins = true;
        request.incarnation = event.incarnation;
        waiting_[event.token] = request;
        return;
      }
      case Kind::kHeard:
        return Hear(event.worker, event.time);
      case Kind::kAsked:
        return TakeAsked(event);
      case Kind::kLeft:
        workers_[event.worker].left = true;
        return;
      case Kind::kTicked:
        for (size_t worker = 0; worker < workers_.size(); ++worker) {
          WorkerState& state = workers_[worker];
          if (!state.joined || state.left || event.time < state.heard + history_.lease) continue;
          // One that waits for its place has it now.
          const bool replaced = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& it) {
            return it.second.joins && it.second.worker == static_cast<int>(worker);
          });
          state.silent = state.silent || !replaced;
        }
        return;
      case Kind::kRound:
        return TakeRound(event);
      case Kind::kApplied:
        if (++blocks_[event.block].applied > blocks_[event.block].scheduled) {
          Fault("a round of block ", event.block, " is applied that is not closed");
        }
        return;
      case Kind::kAnswered:
        return TakeAnswer(event);
    }
  }

  void TakeAsked(const HistoryEvent& event) {
    Hear(event.worker, event.time);
    if (event.pulls) ComeBack(event.worker);
    Request request;
    request.worker = event.worker;
    request.deadline = event.deadline;
    request.pulls = event.pulls;
    request.step = event.step;
    for (const Block& block : blocks_) request.phases.push_back(block.PhaseOf(block.scheduled));
    waiting_[event.token] = request;
    if (!event.pushes || !event.fresh) return;
    const HistoryGradient& gradient = history_.gradients[event.gradient];
    for (size_t i = 0; i < blocks_.size(); ++i) {
      Block& block = blocks_[i];
      WorkerInBlock& worker = block.workers[event.worker];
      if (gradient.step < worker.taken_below) continue;
      const Rule rule = block.rule().rule;
      if ((rule == Rule::kQuorum && gradient.base[i] < block.scheduled) ||
          (rule == Rule::kLockstep && gradient.step < block.scheduled)) {
        worker.clock = std::max(worker.clock, gradient.step + 1);  // late
        continue;
      }
      if (worker.pending) Fault("worker ", event.worker, " has two gradients in an open round");
      if (!worker.steps.insert(gradient.step).second) {
        Fault("worker ", event.worker, " step ", gradient.step, " is taken twice by block ", i);
      }
      worker.pending = event.gradient;
    }
  }

  void TakeRound(const HistoryEvent& event) {
    Block& block = blocks_[event.block];
    const PhaseRule rule = block.rule();
    const std::string who = absl::StrCat("round ", block.scheduled, " of block ", event.block);
    int last = -1;
    for (const size_t number : event.gradients) {
      const HistoryGradient& gradient = history_.gradients[number];
      WorkerInBlock& worker = block.workers[gradient.worker];
      if (gradient.worker <= last) Fault(who, ": its gradients are not in the order of workers");
      last = gradient.worker;
      if (worker.pending != number) {
        Fault(who, ": worker ", gradient.worker, " step ", gradient.step, " is not its open one");
      }
      worker.pending.reset();
      worker.clock = std::max(worker.clock, gradient.step + 1);
      worker.sees = block.scheduled + 1;
      if (rule.rule == Rule::kLockstep && gradient.step != block.scheduled) {
        Fault(who, ": a gradient of step ", gradient.step);
      }
      if (rule.rule == Rule::kQuorum && gradient.base[event.block] != block.scheduled) {
        Fault(who, ": a gradient computed from version ", gradient.base[event.block]);
      }
    }
    const int size = static_cast<int>(event.gradients.size());
    const bool gathers = rule.rule == Rule::kLockstep || rule.rule == Rule::kQuorum;
    if (size == 0 || (gathers ? size > rule.replicas : size > 1)) {
      Fault(who, ": ", size, " gradients");
    }
    for (size_t worker = 0; worker < workers_.size(); ++worker) {
      if (block.workers[worker].pending) Fault(who, ": worker ", worker, " was left out");
      const bool in = std::any_of(
          event.gradients.begin(), event.gradients.end(),
          [&](size_t number) { return history_.gradients[number].worker == int(worker); });
      if (gathers && size < rule.replicas && !in && Awaits(rule, worker)) {
        Fault(who, ": it did not wait for worker ", worker);
      }
    }
    ++block.scheduled;
    if (block.PhaseOf(block.scheduled) != block.PhaseOf(block.scheduled - 1)) {
      const int64_t furthest = Furthest(block);
      for (WorkerInBlock& worker : block.workers) worker.clock = furthest;
    }
  }

  void TakeAnswer(const HistoryEvent& event) {
    const auto it = waiting_.find(event.token);
    if (it == waiting_.end()) return Fault("token ", event.token, " is answered twice, or unasked");
    const Request request = it->second;
    waiting_.erase(it);
    if (event.time > request.deadline) Fault("token ", event.token, " is answered too late");
    if (event.code == absl::StatusCode::kDeadlineExceeded && event.time < request.deadline) {
      Fault("token ", event.token, " is given up too early");
    }
    if (event.code != absl::StatusCode::kOk) return;
    if (request.joins) return TakeJoined(request, event);
    if (request.pulls) CheckPull(request, event);
  }

  void TakeJoined(const Request& request, const HistoryEvent& event) {
    WorkerState& state = workers_[request.worker];
    if (state.joined && !state.left && request.incarnation > state.incarnation &&
        event.time < state.heard + history_.replace_after) {
      Fault("worker ", request.worker, " lost its place while it was heard");
    }
    for (Block& block : blocks_) {
      WorkerInBlock& worker = block.workers[request.worker];
      const int64_t taken = worker.pending ? history_.gradients[*worker.pending].step + 1 : 0;
      worker.taken_below = std::max({worker.taken_below, taken, taken > 0 ? 0 : worker.clock});
    }
    if (state.left) {
      LevelWithSlowest(request.worker, /*all=*/true);
    } else if (state.silent) {
      LevelWithSlowest(request.worker, /*all=*/false);
    }
    state.joined = true;
    state.silent = state.silent || state.left;
    state.left = false;
    state.incarnation = request.incarnation;
    state.heard = event.time;
    std::optional<int64_t> least;
    for (const Block& block : blocks_) {
      int64_t current = block.workers[request.worker].clock;
      if (block.rule().rule == Rule::kQuorum) current = Furthest(block);
      if (block.rule().rule == Rule::kLockstep && current + 1 < block.scheduled) {
        current = block.scheduled;
      }
      least = least ? std::min(*least, current) : current;
    }
    if (event.step != least) {
      Fault("worker ", request.worker, " joins at step ", event.step, ", not ", *least);
    }
  }

  void CheckPull(const Request& request, const HistoryEvent& event) {
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const Block& block = blocks_[i];
      const WorkerInBlock& mine = block.workers[request.worker];
      const size_t phase = block.PhaseOf(block.scheduled);
      const PhaseRule& rule = block.rule();
      const auto fault = [&](absl::string_view words) {
        Fault("worker ", request.worker, " pulls block ", i, " for step ", request.step, ": ",
              words);
      };
      // In lockstep one that is started again sees for its step what the others saw.
      const int64_t sees =
          rule.rule == Rule::kLockstep ? std::min<int64_t>(mine.sees, request.step) : mine.sees;
      if (block.applied < sees) fault("it does not see what it has pushed");
      if (phase != request.phases[i]) continue;  // allowed under the one before, perhaps
      if (rule.rule == Rule::kLockstep && block.applied < request.step) fault("too early");
      if (rule.rule == Rule::kQuorum && mine.pending &&
          history_.gradients[*mine.pending].step < request.step) {
        fault("its gradient is in the open round");
      }
      for (size_t other = 0; rule.rule == Rule::kBounded && other < workers_.size(); ++other) {
        if (!Awaits(rule, other) || block.workers[other].clock >= request.step - rule.limit) {
          continue;
        }
        fault(absl::StrCat("worker ", other, " is at step ", block.workers[other].clock,
                           " only, the limit is ", rule.limit));
      }
    }
    if (event.step > 0 && event.step < request.step) {
      Fault("worker ", request.worker, " is sent back");
    }
    for (const Block& block : blocks_) {
      if (block.rule().rule == Rule::kLockstep && event.step > block.scheduled) {
        Fault("worker ", request.worker, " is sent ahead of what is open");
      }
    }
  }

  // What was waiting from `from` on until `to` had a reason and was within its time.
  void CheckWaiting(absl::Time from, absl::Time to) {
    for (const auto& [token, request] : waiting_) {
      if (to > request.deadline) Fault("token ", token, " waits past its deadline");
      if (request.joins) {
        const WorkerState& state = workers_[request.worker];
        if (!state.joined || state.left || to > state.heard + history_.replace_after) {
          Fault("worker ", request.worker, " waits for a place that is free");
        }
        continue;
      }
      bool excused = false;
      for (const Block& block : blocks_) {
        if (block.applied < block.scheduled || Excuses(block, request, to)) excused = true;
      }
      if (!excused)
        Fault("worker ", request.worker, " waits for nothing since ",
              absl::FormatTime(from, absl::UTCTimeZone()));
    }
  }

  bool Excuses(const Block& block, const Request& request, absl::Time to) const {
    const PhaseRule& rule = block.rule();
    const WorkerInBlock& mine = block.workers[request.worker];
    if (rule.rule == Rule::kFree) return false;
    if (rule.rule == Rule::kLockstep && block.scheduled >= request.step) return false;
    if (rule.rule == Rule::kQuorum &&
        !(mine.pending && history_.gradients[*mine.pending].step < request.step)) {
      return false;
    }
    for (size_t other = 0; other < workers_.size(); ++other) {
      const WorkerState& state = workers_[other];
      const WorkerInBlock& theirs = block.workers[other];
      const bool behind =
          rule.rule == Rule::kBounded ? theirs.clock < request.step - rule.limit : !theirs.pending;
      const bool in_time =
          rule.awaits_silent || !state.joined || to <= state.heard + history_.lease;
      if (behind && Awaits(rule, other) && in_time) return true;
    }
    return false;
  }

  const History& history_;
  std::vector<WorkerState> workers_;
  std::vector<Block> blocks_;
  std::map<uint64_t, Request> waiting_;
  std::string fault_;
};

}  // namespace

std::string Describe(const History& history) {
  static constexpr const char* kKinds[] = {"asks to join", "is heard", "asks",    "leaves",
                                           "tick",         "round",    "applied", "answer"};
  std::string text;
  for (size_t i = 0; i < history.events.size(); ++i) {
    const HistoryEvent& event = history.events[i];
    absl::StrAppend(&text, i, " ", absl::FormatDuration(event.time - absl::UnixEpoch()), " ");
    if (event.worker >= 0) absl::StrAppend(&text, "worker ", event.worker, " ");
    absl::StrAppend(&text, kKinds[static_cast<int>(event.kind)]);
    if (event.token > 0) absl::StrAppend(&text, " token ", event.token, " step ", event.step);
    if (event.pushes) absl::StrAppend(&text, event.fresh ? ", pushes" : ", pushes again");
    if (event.kind == Kind::kRound || event.kind == Kind::kApplied) {
      absl::StrAppend(&text, " of block ", event.block);
    }
    for (const size_t number : event.gradients) {
      const HistoryGradient& gradient = history.gradients[number];
      absl::StrAppend(&text, ", worker ", gradient.worker, " step ", gradient.step);
    }
    if (event.code != absl::StatusCode::kOk) {
      absl::StrAppend(&text, " ", absl::StatusCodeToString(event.code));
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

std::string FindViolation(const History& history) { return Checker(history).Check(); }

}  // namespace parley
