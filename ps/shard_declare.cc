// How a Shard gets its job: from the chief, who declares it, or from what an earlier start of it
// wrote down.

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/machine_memory.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "ps/shard.h"

namespace parley {
namespace {

// Of the last level, which all cores of most machines share.
int64_t CacheBytes() {
  const int64_t bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return bytes > 0 ? bytes : int64_t{32} << 20;
}

}  // namespace

absl::StatusOr<Shard::Declared*> Shard::Find(const std::string& job) const {
  MutexLock lock(&mutex_);
  if (declared_ != nullptr && declared_->job.name() == job) return declared_.get();
  if (recovering_) {
    return absl::UnavailableError(absl::StrCat(task_, " is taking its state back"));
  }
  return absl::NotFoundError(
      absl::StrCat(task_, ": job ", job, " is not declared here",
                   declared_ == nullptr ? std::string()
                                        : absl::StrCat(" (job ", declared_->job.name(), " is)")));
}

absl::StatusOr<Shard::Declared*> Shard::FindAny(const std::string& job) const {
  if (!job.empty()) return Find(job);
  MutexLock lock(&mutex_);
  return declared_.get();
}

void Shard::Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) {
  background_->Post([this, request = std::move(request), done = std::move(done)]() mutable {
    DeclareNow(request, std::move(done));
  });
}

void Shard::DeclareNow(const v1::DeclareRequest& request, Done<v1::DeclareResponse> done) {
  done(PublishDeclared(request));
  JoinEarly();
}

void Shard::JoinEarly() {
  std::vector<EarlyJoin> early;
  Declared* declared;
  {
    MutexLock lock(&mutex_);
    declared = declared_.get();
    if (declared != nullptr) early.swap(early_joins_);
  }
  for (EarlyJoin& join : early) {
    JoinDeclared(declared, std::move(join.request), join.deadline, std::move(join.done));
  }
}

int64_t Shard::NormVersion(const Declared& declared) {
  int64_t version = -1;
  for (size_t i = 0; i < declared.blocks.size(); ++i) {
    const int parameter = declared.job.blocks()[declared.numbers[i]].parameter;
    if (!declared.norm_plan.TakesPart(parameter)) continue;
    const int64_t of_block = declared.blocks[i]->Snapshot().version;
    version = version < 0 ? of_block : std::min(version, of_block);
  }
  return std::max<int64_t>(version, 0);
}

absl::StatusOr<v1::DeclareResponse> Shard::PublishDeclared(const v1::DeclareRequest& request) {
  if (request.shard_index() != options_.shard_index) {
    return absl::FailedPreconditionError(
        absl::StrCat(task_, ": the caller takes it for ps:", request.shard_index()));
  }
  // Only this thread sets declared_, so it stays as it is seen here.
  const Declared* declared;
  {
    MutexLock lock(&mutex_);
    declared = declared_.get();
  }
  if (declared != nullptr) {
    // The defaults must be filled in before specs can be compared.
    PARLEY_ASSIGN_OR_RETURN(const Job job, Job::Create(request.spec()));
    const std::string difference = DifferenceFrom(*declared, job.spec(), /*worker=*/0);
    if (!difference.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          task_, ": job ", declared->job.name(), " is declared with another spec: ", difference,
          !declared->recovered ? std::string()
          : options_.log_folder.empty()
              ? "; it goes on from the copy that another task kept"
              : absl::StrCat("; it goes on from the log in ", options_.log_folder,
                             ", which another job must not have")));
    }
  } else {
    absl::StatusOr<std::unique_ptr<Declared>> made =
        MakeDeclared(request.spec(), request.checkpoint(), /*recovery=*/nullptr);
    if (!made.ok()) return Annotate(made.status(), task_);
    if (const absl::Status begun = BeginSinks(made->get(), request.checkpoint()); !begun.ok()) {
      return Annotate(begun, task_);
    }
    declared = made->get();
    MutexLock lock(&mutex_);
    declared_ = *std::move(made);
  }
  v1::DeclareResponse response;
  response.set_num_blocks(static_cast<int64_t>(declared->numbers.size()));
  int64_t bytes = 0;
  for (const uint32_t number : declared->numbers) {
    bytes += declared->job.blocks()[number].size * static_cast<int64_t>(sizeof(float));
  }
  response.set_bytes(bytes);
  return response;
}

absl::StatusOr<std::unique_ptr<Shard::Declared>> Shard::MakeDeclared(const v1::JobSpec& spec,
                                                                     const std::string& checkpoint,
                                                                     Recovery* recovery) const {
  PARLEY_ASSIGN_OR_RETURN(Job job, Job::Create(spec));
  if (options_.shard_index >= job.spec().num_shards()) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", job.name(), " has only ", job.spec().num_shards(), " shards"));
  }
  auto declared = std::make_unique<Declared>(std::move(job));
  const Job& kept = declared->job;
  for (size_t i = 0; i < kept.parameters().size(); ++i) {
    PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Policy> policy,
                            NewPolicy(kept.PolicyOf(static_cast<int>(i)), kept.spec().num_workers(),
                                      options_.policies));
    declared->policies.push_back(std::move(policy));
    PARLEY_ASSIGN_OR_RETURN(
        std::unique_ptr<Optimizer> optimizer,
        NewOptimizer(kept.OptimizerOf(static_cast<int>(i)), options_.optimizers));
    if (kept.OptimizerOf(static_cast<int>(i)).schedule().has_pushed()) {
      declared->takes_rate_factors = true;
    }
    const bool averages = kept.OptimizerOf(static_cast<int>(i)).ema_decay() > 0;
    const std::vector<absl::string_view> slots = optimizer->slot_names();
    const auto average = std::find(slots.begin(), slots.end(), kAverageSlot);
    declared->average_slots.push_back(averages ? static_cast<int>(average - slots.begin()) : -1);
    declared->optimizers.push_back(std::move(optimizer));
  }
  declared->numbers = kept.BlocksOfShard(options_.shard_index);
  declared->local.assign(kept.blocks().size(), -1);

  // Two copies of the values, of which one is being written, the slots, what each worker has pulled
  // where that is kept, and a gradient of each where a round waits for all.
  int64_t needed = 0;
  int64_t values = 0;
  for (const uint32_t number : declared->numbers) {
    values += kept.blocks()[number].size * static_cast<int64_t>(sizeof(float));
    const int parameter = kept.blocks()[number].parameter;
    const int64_t workers = kept.spec().num_workers();
    const int64_t pulled = declared->CompensatesDelay(number) ? workers : 0;
    const bool gathers = declared->policies[parameter]->NeedsEveryWorker(0);
    const int64_t gradients = gathers ? workers : 0;
    constexpr int64_t kBookkeeping = 256;  // about, for each worker and block
    declared->bytes_per_worker += kBookkeeping + kept.blocks()[number].size *
                                                     static_cast<int64_t>(sizeof(float)) *
                                                     ((pulled > 0 ? 1 : 0) + (gathers ? 1 : 0));
    needed += kept.blocks()[number].size * static_cast<int64_t>(sizeof(float)) *
              (2 + declared->OptimizerOf(number).num_slots() + pulled + gradients);
  }
  const int64_t limit = options_.memory_limit > 0 ? options_.memory_limit : MachineMemory();
  if (needed > limit) {
    return absl::ResourceExhaustedError(
        absl::StrCat("job ", kept.name(), " needs ", needed, " bytes here, the limit is ", limit));
  }
  declared->table_memory = declared->spare_memory = limit - needed;

  std::vector<ShardState::BlockClocks> clocks(declared->numbers.size());
  for (size_t i = 0; i < declared->numbers.size(); ++i) {
    declared->local[declared->numbers[i]] = static_cast<int>(i);
  }
  if (recovery != nullptr && recovery->log == nullptr) {
    declared->blocks = std::move(recovery->blocks);
  } else {
    PARLEY_RETURN_IF_ERROR(MakeBlocks(checkpoint, declared.get(), &clocks));
  }
  if (values >= CacheBytes()) {
    for (const std::unique_ptr<Block>& block : declared->blocks) block->WriteAroundCaches();
  }
  declared->turns = std::vector<Turn>(declared->blocks.size());
  declared->round_ends = std::make_unique<RoundEnd[]>(declared->blocks.size());
  MakeQueues(declared.get());
  // Blocks under other policies may be at other versions.
  int64_t version = -1;
  for (size_t i = 0; i < clocks.size(); ++i) {
    if (!declared->norm_plan.TakesPart(kept.blocks()[declared->numbers[i]].parameter)) continue;
    version = version < 0 ? clocks[i].version : std::min(version, clocks[i].version);
  }
  declared->norms =
      std::make_unique<NormRounds>(&kept, &declared->norm_plan, declared->numbers, version);
  if (recovery != nullptr && recovery->log == nullptr) {
    for (size_t i = 0; i < recovery->norm_sums.size(); ++i) {
      PARLEY_RETURN_IF_ERROR(declared->norms->Take(i, recovery->norm_sums[i]));
    }
    declared->norms->ForgetUnknown(NormVersion(*declared));
  }
  declared->pulled = std::make_unique<PulledValues>(declared->blocks.size());
  std::vector<std::unique_ptr<ShardTable>> copied;
  if (recovery != nullptr) copied = std::move(recovery->tables);
  PARLEY_RETURN_IF_ERROR(MakeTables(checkpoint, std::move(copied), declared.get(), &clocks));
  if (recovery != nullptr) {
    if (recovery->log != nullptr) PARLEY_RETURN_IF_ERROR(Replay(declared.get(), recovery));
    declared->recovered = true;
    for (size_t i = 0; i < clocks.size(); ++i) {
      clocks[i] = {recovery->books.blocks()[i].version, recovery->books.blocks()[i].clocks};
    }
  }
  std::vector<const Policy*> policies;
  std::vector<uint32_t> numbers = declared->numbers;
  for (const uint32_t number : numbers) {
    policies.push_back(declared->policies[kept.blocks()[number].parameter].get());
  }
  for (size_t i = 0; i < declared->tables.size(); ++i) {
    policies.push_back(declared->table_policies[i].get());
    numbers.push_back(kept.BlockOfTable(static_cast<int>(i)));
  }
  ShardState::Options state_options;
  state_options.task = task_;
  state_options.lease = options_.lease;
  state_options.replace_after = options_.replace_after;
  state_options.acknowledges_applied = HasSink();
  PARLEY_ASSIGN_OR_RETURN(const WorkerCounts counts, recovery != nullptr
                                                         ? recovery->books.counts()
                                                         : FirstCounts(kept, checkpoint));
  declared->state =
      std::make_unique<ShardState>(std::move(state_options), &kept, std::move(numbers),
                                   std::move(policies), std::move(clocks), counts);
  if (recovery != nullptr) declared->state->Restore(recovery->books, Now());
  return declared;
}

}  // namespace parley
