#include "ps/testing/shard_state_cluster.h"

#include <algorithm>
#include <utility>

#include "gtest/gtest.h"
#include "net/payload.h"

namespace parley {
namespace {

v1::JobSpec SpecOf(int workers, const v1::Policy& policy, const v1::Policy* second) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(workers);
  spec.set_num_shards(1);
  for (const char* name : {"a", "b"}) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(name);
    parameter->add_shape(4);
    parameter->set_dtype(v1::FLOAT32);
  }
  if (second != nullptr) *spec.mutable_parameters(1)->mutable_policy() = *second;
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  *spec.mutable_policy() = policy;
  return spec;
}

}  // namespace

v1::Policy SynchronousPolicy() {
  v1::Policy policy;
  policy.mutable_synchronous();
  return policy;
}

v1::Policy BackupPolicy(int replicas) {
  v1::Policy policy;
  policy.mutable_synchronous()->set_replicas_to_aggregate(replicas);
  return policy;
}

v1::Policy AsynchronousPolicy() {
  v1::Policy policy;
  policy.mutable_asynchronous();
  return policy;
}

v1::Policy BoundedPolicy(int limit) {
  v1::Policy policy;
  policy.mutable_bounded_staleness()->set_limit(limit);
  return policy;
}

v1::Policy SwitchPolicy(const v1::Policy& first, int64_t rounds, const v1::Policy& second) {
  v1::Policy policy;
  v1::Phases::Phase* phase = policy.mutable_phases()->add_phase();
  *phase->mutable_policy() = first;
  phase->set_rounds(rounds);
  *policy.mutable_phases()->add_phase()->mutable_policy() = second;
  return policy;
}

ShardStateCluster::ShardStateCluster(int workers, const v1::Policy& policy,
                                     std::vector<ShardState::BlockClocks> clocks,
                                     const v1::Policy* second, bool acknowledges_applied)
    : job_(Job::Create(SpecOf(workers, policy, second)).value()),
      incarnations_(workers, 1),
      sequences_(workers, 0),
      versions_(workers, {0, 0}) {
  std::vector<const Policy*> policies;
  for (int parameter = 0; parameter < 2; ++parameter) {
    policies_.push_back(NewPolicy(job_.PolicyOf(parameter), workers).value());
    policies.push_back(policies_.back().get());
  }
  if (clocks.empty()) clocks.resize(2);
  for (size_t block = 0; block < 2; ++block) {
    applied_[block] = clocks[block].version;
    for (std::vector<int64_t>& versions : versions_) versions[block] = clocks[block].version;
  }
  ShardState::Options options{"ps:0", absl::Seconds(10)};
  options.acknowledges_applied = acknowledges_applied;
  state_.emplace(std::move(options), &job_, std::vector<uint32_t>{0, 1}, std::move(policies),
                 std::move(clocks), WorkerCounts(workers));
}

void ShardStateCluster::RefusePushes(const absl::Status& reason) {
  Take(state_->RefusePushes(reason, now));
}

void ShardStateCluster::AskWorkers(int workers) {
  Take(state_->AskWorkers(workers));
  const size_t count = std::max(incarnations_.size(), static_cast<size_t>(workers));
  incarnations_.resize(count, 1);
  sequences_.resize(count, 0);
  versions_.resize(count, applied_);
}

uint64_t ShardStateCluster::Join(int worker, uint64_t incarnation, absl::Duration wait) {
  const uint64_t token = ++last_token_;
  Take(state_->Join(token, worker, incarnation, now, now + wait));
  if (answers.count(token) != 0 && answers[token].status.ok()) incarnations_[worker] = incarnation;
  return token;
}

void ShardStateCluster::JoinAll() {
  for (size_t worker = 0; worker < incarnations_.size(); ++worker) Join(static_cast<int>(worker));
}

uint64_t ShardStateCluster::PushPull(int worker, int64_t step, bool pull, uint64_t sequence) {
  ShardState::PushPull request = Request(worker, step);
  request.sequence = sequence == 0 ? ++sequences_[worker] : sequence;
  for (size_t block = 0; block < 2; ++block) {
    request.pushes.push_back(
        {block, base_version.value_or(versions_[worker][block]), GradientOf(worker, step)});
    if (pull) request.pulls.push_back(block);
  }
  return Send(std::move(request));
}

uint64_t ShardStateCluster::Pull(int worker, int64_t step) {
  ShardState::PushPull request = Request(worker, step);
  request.pull_step = step;
  request.pulls = {0, 1};
  return Send(std::move(request));
}

absl::Status ShardStateCluster::Leave(int worker, const std::string& error) {
  ShardState::Actions actions;
  const absl::Status status = state_->Leave(worker, incarnations_[worker], error, now, &actions);
  Take(std::move(actions));
  return status;
}

uint64_t ShardStateCluster::Barrier(int worker) {
  const uint64_t token = ++last_token_;
  Take(state_->Barrier(token, worker, incarnations_[worker], "b", now, now + absl::Seconds(5)));
  return token;
}

void ShardStateCluster::Heartbeat(int worker) {
  EXPECT_TRUE(state_->Heartbeat(worker, incarnations_[worker], now).ok());
}

void ShardStateCluster::Advance(absl::Duration duration) {
  const absl::Time end = now + duration;
  while (now < end) {
    now = std::min(end, std::max(now, state_->NextDeadline()));
    Take(state_->Tick(now));
  }
}

void ShardStateCluster::ApplyAll() {
  while (!unapplied.empty()) {
    const size_t block = unapplied.front();
    unapplied.erase(unapplied.begin());
    ++applied_[block];
    Take(state_->Applied(block));
  }
}

absl::Status ShardStateCluster::StatusOf(uint64_t token) const {
  return Answered(token) ? answers.at(token).status : absl::UnknownError("not answered");
}

int64_t ShardStateCluster::LiveGradients() const {
  return std::count_if(sent_.begin(), sent_.end(),
                       [](const std::weak_ptr<int>& gradient) { return !gradient.expired(); });
}

Payload ShardStateCluster::GradientOf(int worker, int64_t step) {
  auto value = std::make_shared<int>(100 * worker + static_cast<int>(step));
  sent_.push_back(value);
  Payload payload;
  payload.Append(value.get(), sizeof(int), value);
  return payload;
}

ShardState::PushPull ShardStateCluster::Request(int worker, int64_t step) {
  ShardState::PushPull request;
  request.token = ++last_token_;
  request.worker = worker;
  request.incarnation = incarnations_[worker];
  request.step = step;
  request.sequence = 0;
  request.pull_step = step + 1;
  request.deadline = now + absl::Seconds(30);
  if (worker == 0) request.workers = chief_says;
  return request;
}

uint64_t ShardStateCluster::Send(ShardState::PushPull request) {
  const uint64_t token = request.token;
  if (!request.pulls.empty()) pulling_[token] = request.worker;
  Take(state_->HandlePushPull(std::move(request), now));
  return token;
}

void ShardStateCluster::Take(ShardState::Actions actions) {
  for (ShardState::Round& round : actions.rounds) {
    std::vector<int>& values = rounds[round.block].emplace_back();
    for (const Gradient& gradient : round.gradients) {
      int value;
      gradient.payload.CopyTo(&value);
      values.push_back(value);
    }
    corrections[round.block].push_back(round.correction);
    unapplied.push_back(round.block);
  }
  for (ShardState::Answer& answer : actions.answers) {
    const uint64_t token = answer.token;
    if (const auto pull = pulling_.find(token); pull != pulling_.end() && answer.status.ok()) {
      versions_[pull->second] = applied_;
    }
    EXPECT_TRUE(answers.emplace(token, std::move(answer)).second) << "answered twice: " << token;
  }
  leases.insert(leases.end(), actions.leases.begin(), actions.leases.end());
  if (apply_at_once) ApplyAll();
}

}  // namespace parley
