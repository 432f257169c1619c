// How a Shard writes its changes down, and goes on from what an earlier start of it wrote.

#include <algorithm>
#include <atomic>
#include <deque>
#include <future>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/random_id.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_format.h"
#include "ps/replay.h"
#include "ps/shard.h"

namespace parley {
namespace {

// The mean gradient of the round is the one that came: there is nothing to compute.
bool IsItsOwnMean(const ShardState::Round& round) {
  return round.gradients.size() == 1 && round.gradients[0].dtype == v1::FLOAT32 &&
         (round.correction.compensation == 0 || round.gradients[0].base == nullptr);
}

// What of the books is the job's.
v1::Books IdentityOf(const v1::Books& books) {
  v1::Books identity;
  *identity.mutable_spec() = books.spec();
  identity.set_checkpoint(books.checkpoint());
  identity.set_log_id(books.log_id());
  return identity;
}

// Says that something is kept, or, when the log that was to keep it fails or is closed, that it is
// not.
class WhenKept {
 public:
  explicit WhenKept(absl::AnyInvocable<void(const absl::Status&)> then) : then_(std::move(then)) {}
  ~WhenKept() {
    if (then_) then_(absl::UnavailableError("the shard could not write it down"));
  }
  void IsKept() { std::exchange(then_, nullptr)(absl::OkStatus()); }

 private:
  absl::AnyInvocable<void(const absl::Status&)> then_;
};

}  // namespace

// Writing.

absl::Status Shard::BeginSinks(Declared* declared, const std::string& checkpoint) {
  if (options_.log_folder.empty() && options_.standby == nullptr) return absl::OkStatus();
  v1::Books identity;
  *identity.mutable_spec() = declared->job.spec();
  identity.set_checkpoint(checkpoint);
  identity.set_log_id(RandomId());
  std::vector<int64_t> versions;
  std::vector<std::vector<int64_t>> clocks;
  for (size_t i = 0; i < declared->numbers.size(); ++i) {
    ShardState::BlockClocks block = declared->state->ClocksOf(i);
    versions.push_back(block.version);
    clocks.push_back(std::move(block.clocks));
  }
  ShardBooks books(declared->job, options_.shard_index, declared->numbers, versions, clocks);
  SinkStart start;
  start.begins_anew = true;
  return StartSinks(declared, std::move(identity), std::move(books), start);
}

absl::Status Shard::StartSinks(Declared* declared, v1::Books identity, ShardBooks books,
                               SinkStart start) {
  if (options_.log_folder.empty() && !declared->norm_plan.empty()) {
    return absl::FailedPreconditionError(
        "optimizers that need norms over whole parameters need a log (--durability=disk): a "
        "replica "
        "does not have what is on its way between shards");
  }
  if (!options_.log_folder.empty()) {
    LogWriter::Options options;
    options.env = options_.env;
    options.folder = options_.log_folder;
    options.failed = [this, declared](const absl::Status& status) {
      Fail(declared, Annotate(status, absl::StrCat(task_, " can write nothing down any more")));
    };
    options.full = [this, declared](const absl::Status& status) {
      MutexLock lock(&mutex_);
      declared->state->RefusePushes(status);
    };
    PARLEY_ASSIGN_OR_RETURN(declared->log, LogWriter::Create(std::move(options), identity, books,
                                                             start.segment, start.previous_bytes));
    declared->sink = declared->log.get();
  }
  if (options_.standby != nullptr) {
    ReplicaSink::Options options;
    options.task = task_;
    options.standby = options_.standby;
    options.shard = options_.shard_index;
    options.term = start.term;
    options.begins_anew = start.begins_anew;
    options.patience = options_.standby_patience;
    options.env = options_.env;
    options.fill = [this, declared] { FillReplica(declared); };
    options.superseded = [this, declared](const absl::Status& status) {
      Fail(declared, Annotate(status, task_));
    };
    declared->replica =
        std::make_unique<ReplicaSink>(std::move(options), std::move(identity), std::move(books));
    declared->sink = declared->replica.get();
  }
  if (declared->log != nullptr && declared->replica != nullptr) {
    declared->both = std::make_unique<BothSinks>(declared->log.get(), declared->replica.get());
    declared->sink = declared->both.get();
  }
  if (declared->replica != nullptr) declared->replica->Start();
  return absl::OkStatus();
}

void Shard::Fail(Declared* declared, const absl::Status& reason) {
  LOG(ERROR) << reason.message();
  Outcome outcome;
  {
    MutexLock lock(&mutex_);
    durability_status_ = reason;
    ShardState::Actions actions;
    declared->state->Fail(reason, &actions);
    outcome = CarryOut(declared, std::move(actions), kNone);
  }
  Conclude(std::move(outcome));
}

void Shard::FillReplica(Declared* declared) {
  MutexLock lock(&mutex_);
  if (stopping_) return;  // an owner may be gone
  for (size_t i = 0; i < declared->blocks.size(); ++i) {
    OwnerOf(i).Post([this, declared, i] {
      RunInTurn(declared, i, [declared, i] {
        std::vector<ShardRecord> records(1);
        *records[0].record.mutable_block_state() =
            StateOf(declared->numbers[i], *declared->blocks[i], &records[0].payload);
        declared->replica->Append(std::move(records), nullptr);
      });
    });
  }
}

ShardRecord Shard::RecordOf(const Declared& declared, const ShardState::Round& round,
                            int64_t version, float** mean) const {
  ShardRecord result;
  v1::LogRecord::Round* const record = result.record.mutable_round();
  record->set_block(declared.numbers[round.block]);
  record->set_version(version);
  for (const ShardState::Contribution& part : round.contributions) {
    v1::LogRecord::Contribution* const contribution = record->add_contributions();
    contribution->set_worker(part.worker);
    contribution->set_incarnation(part.incarnation);
    contribution->set_sequence(part.sequence);
  }
  record->mutable_clocks()->Add(round.clocks.begin(), round.clocks.end());
  record->set_rate_scale(round.correction.rate);
  for (const Gradient& gradient : round.gradients) {
    if (gradient.rate_factor.has_value()) record->set_rate_factor(*gradient.rate_factor);
  }
  record->set_skipped(round.gradients.empty());
  if (round.gradients.empty()) return result;
  if (IsItsOwnMean(round)) {
    result.payload = round.gradients[0].payload;
    return result;
  }
  const size_t size = declared.blocks[round.block]->size();
  const auto buffer = std::make_shared<FloatBuffer>(size);
  *mean = buffer->data();
  result.payload.Append(buffer->data(), size * sizeof(float), buffer);
  return result;
}

void Shard::Keep(Declared* declared, ShardRecord record,
                 absl::AnyInvocable<void(const absl::Status&)> then) {
  if (declared->sink == nullptr) return then(absl::OkStatus());
  std::vector<ShardRecord> records;
  records.push_back(std::move(record));
  declared->sink->Append(std::move(records),
                         [kept = std::make_unique<WhenKept>(std::move(then))] { kept->IsKept(); });
}

void Shard::KeepWhatIsPosted(Declared* declared,
                             absl::AnyInvocable<void(const absl::Status&)> then) {
  if (declared->sink == nullptr) return then(absl::OkStatus());
  const auto kept = std::make_shared<WhenKept>(std::move(then));
  const auto missing = std::make_shared<std::atomic<size_t>>(owners_.size());
  MutexLock lock(&mutex_);
  if (stopping_) return;  // an owner may be gone
  for (const std::unique_ptr<TaskThread>& owner : owners_) {
    owner->Post([declared, kept, missing] {
      declared->sink->Append({}, [kept, missing] {
        if (missing->fetch_sub(1, std::memory_order_acq_rel) == 1) kept->IsKept();
      });
    });
  }
}

void Shard::KeepMember(Declared* declared, const v1::Sender& sender, v1::Books::Presence presence,
                       absl::AnyInvocable<void(const absl::Status&)> then) {
  ShardRecord record;
  v1::LogRecord::Member* const member = record.record.mutable_member();
  member->set_worker(sender.worker());
  member->set_incarnation(sender.incarnation());
  member->set_presence(presence);
  Keep(declared, std::move(record), std::move(then));
}

absl::Status Shard::durability_status() const {
  MutexLock lock(&mutex_);
  return durability_status_;
}

void Shard::RemoveLog() {
  MutexLock lock(&mutex_);
  if (declared_ == nullptr || declared_->log == nullptr) return;
  declared_->log->RemoveBefore(std::numeric_limits<uint64_t>::max());
}

// A checkpoint may turn out to be damaged: what the newest two need stays.
void Shard::RemoveOldSegments(Declared* declared) {
  if (declared->log == nullptr) return;
  const absl::StatusOr<std::vector<std::string>> manifests =
      ListCheckpoints(options_.env, options_.checkpoint_folder);
  if (!manifests.ok() || manifests->size() < 2) return;
  uint64_t needed = std::numeric_limits<uint64_t>::max();
  size_t known = 0;
  for (const auto& [step, segment] : declared->log_segments) {
    const std::string name = ManifestFileName(step);
    if (name != (*manifests)[0] && name != (*manifests)[1]) continue;
    needed = std::min(needed, segment);
    ++known;
  }
  if (known == 2) declared->log->RemoveBefore(needed);
}

// Going on.

absl::StatusOr<bool> Shard::Recover() {
  if (options_.log_folder.empty()) return false;
  const absl::StatusOr<LogReader> log = LogReader::Open(options_.env, options_.log_folder);
  if (absl::IsNotFound(log.status())) return false;
  if (!log.ok()) return Annotate(log.status(), task_);
  const v1::Books& last = log->BeginOf(log->last_segment()).books();
  PARLEY_ASSIGN_OR_RETURN(const Job job, Job::Create(last.spec()));
  absl::Status why = absl::DataLossError("no checkpoint has the values that its log begins with");
  for (const auto& [checkpoint, segment] : StartsOf(*log)) {
    absl::StatusOr<ShardBooks> books =
        ShardBooks::FromProto(job, options_.shard_index, log->BeginOf(segment).books());
    if (!books.ok()) return Annotate(books.status(), task_);
    Recovery recovery{&*log, segment, *std::move(books), {}};
    absl::StatusOr<std::unique_ptr<Declared>> made =
        MakeDeclared(last.spec(), checkpoint, &recovery);
    if (!made.ok()) {
      why = made.status();
      LOG(WARNING) << task_ << ": its log cannot be gone on from "
                   << (checkpoint.empty() ? "the beginning" : checkpoint) << ": " << why.message();
      continue;
    }
    SinkStart start;
    start.segment = log->last_segment() + 1;
    start.previous_bytes = recovery.last_bytes;
    PARLEY_RETURN_IF_ERROR(Annotate(
        StartSinks(made->get(), IdentityOf(last), std::move(recovery.books), start), task_));
    Publish(*std::move(made));
    return true;
  }
  return Annotate(why, task_);
}

void Shard::Publish(std::unique_ptr<Declared> made) {
  MutexLock lock(&mutex_);
  declared_ = std::move(made);
  next_tick_ = absl::InfinitePast();
  changed_.NotifyAll();
}

void Shard::RecoverFromStandby() {
  {
    MutexLock lock(&mutex_);
    recovering_ = true;
  }
  // Where Declare runs, too: it comes after this.
  background_->Post([this] {
    absl::StatusOr<std::unique_ptr<Declared>> fetched = FetchFromStandby();
    if (!fetched.ok()) LOG(WARNING) << task_ << ": no copy of it: " << fetched.status().message();
    if (fetched.ok() && *fetched != nullptr) {
      LOG(INFO) << task_ << ": it has its state back";
      Publish(*std::move(fetched));
    }
    {
      MutexLock lock(&mutex_);
      recovering_ = false;
    }
    JoinEarly();
  });
}

// Null when the standby has no copy.
absl::StatusOr<std::unique_ptr<Shard::Declared>> Shard::FetchFromStandby() {
  const absl::Time deadline = Now() + options_.standby_patience;
  using Reply = absl::StatusOr<FetchReplicaReply>;
  const auto ask = [&](size_t piece) {
    const auto promise = std::make_shared<std::promise<Reply>>();
    v1::FetchReplicaRequest request;
    request.set_shard(options_.shard_index);
    request.set_piece(static_cast<int>(piece));
    options_.standby->FetchReplica(
        request, [promise](Reply reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  };
  // The answer to one piece; asks again while the standby is not there.
  const auto await = [&](size_t piece, std::future<Reply> answer) {
    for (;;) {
      Reply reply = answer.get();
      if (!absl::IsUnavailable(reply.status()) && !absl::IsDeadlineExceeded(reply.status())) {
        return reply;
      }
      {
        MutexLock lock(&mutex_);
        if (stopping_ || Now() >= deadline) return reply;
        changed_.WaitFor(&mutex_, absl::Milliseconds(100));
      }
      answer = ask(piece);
    }
  };
  PARLEY_ASSIGN_OR_RETURN(const FetchReplicaReply first, await(0, ask(0)));
  if (!first.response.has_books()) return nullptr;
  const v1::Books& books = first.response.books();
  PARLEY_ASSIGN_OR_RETURN(const Job job, Job::Create(books.spec()));
  PARLEY_ASSIGN_OR_RETURN(ShardBooks made_books,
                          ShardBooks::FromProto(job, options_.shard_index, books));
  Recovery recovery{nullptr, 0, std::move(made_books), {}};
  // Some are on their way while one is taken in.
  constexpr size_t kAhead = 8;
  const size_t count = recovery.books.numbers().size();
  std::deque<std::future<Reply>> ahead;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t number = recovery.books.numbers()[i];
    while (ahead.size() < kAhead && i + ahead.size() < count)
      ahead.push_back(ask(i + ahead.size() + 1));
    std::future<Reply> answer = std::move(ahead.front());
    ahead.pop_front();
    PARLEY_ASSIGN_OR_RETURN(const FetchReplicaReply reply, await(i + 1, std::move(answer)));
    const v1::LogRecord::BlockState& state = reply.response.block_state();
    PARLEY_ASSIGN_OR_RETURN(
        const std::unique_ptr<Optimizer> optimizer,
        NewOptimizer(job.OptimizerOf(job.blocks()[number].parameter), options_.optimizers));
    PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Block> block,
                            BlockOf(job, *optimizer, state, reply.payload, options_.arena));
    if (state.block() != number || state.version() != recovery.books.blocks()[i].version) {
      return absl::DataLossError("the copy changed while it was fetched");
    }
    recovery.blocks.push_back(std::move(block));
  }
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Declared> made,
                          MakeDeclared(books.spec(), books.checkpoint(), &recovery));
  SinkStart start;
  start.term = first.response.term();
  v1::Books identity = IdentityOf(books);
  identity.set_log_id(RandomId());  // checkpoints of before know nothing of this log
  PARLEY_RETURN_IF_ERROR(
      StartSinks(made.get(), std::move(identity), std::move(recovery.books), start));
  if (made->log != nullptr) {  // which begins with the copy, and not with the job's first values
    std::vector<ShardRecord> states(made->blocks.size());
    for (size_t i = 0; i < states.size(); ++i) {
      *states[i].record.mutable_block_state() =
          StateOf(made->numbers[i], *made->blocks[i], &states[i].payload);
    }
    made->log->Append(std::move(states), nullptr);
  }
  return made;
}

std::vector<std::pair<std::string, uint64_t>> Shard::StartsOf(const LogReader& log) const {
  std::vector<std::pair<std::string, uint64_t>> starts;
  const v1::Books& books = log.BeginOf(log.first_segment()).books();
  const absl::StatusOr<std::vector<std::string>> manifests =
      ListCheckpoints(options_.env, options_.checkpoint_folder);
  for (const std::string& name : manifests.ok() ? *manifests : std::vector<std::string>()) {
    const absl::StatusOr<v1::Manifest> manifest =
        ReadManifest(options_.env, options_.checkpoint_folder, name);
    if (!manifest.ok() || manifest->shards_size() <= options_.shard_index) continue;
    const std::string path =
        JoinPath(options_.checkpoint_folder, manifest->shards(options_.shard_index).file());
    const absl::StatusOr<std::unique_ptr<ReadableFile>> file = options_.env->OpenFile(path);
    if (!file.ok()) continue;
    const absl::StatusOr<ShardLayout> layout = ReadShardHeader(**file, path);
    if (!layout.ok() || layout->header.log_id() != books.log_id()) continue;
    const uint64_t segment = layout->header.log_segment();
    if (segment >= log.first_segment() && segment <= log.last_segment()) {
      starts.emplace_back(name, segment);
    }
  }
  if (log.first_segment() == 1) starts.emplace_back(books.checkpoint(), 1);
  return starts;
}

absl::Status Shard::Replay(Declared* declared, Recovery* recovery) const {
  int64_t rounds = 0;
  PARLEY_ASSIGN_OR_RETURN(
      recovery->last_bytes,
      recovery->log->Replay(recovery->segment, [&](const ReadLogRecord& record) {
        PARLEY_RETURN_IF_ERROR(recovery->books.Take(record.record));
        ++rounds;
        if (record.record.has_block_state()) {
          return TakeState(declared, record.record.block_state(), record.payload);
        }
        if (!record.record.has_round()) return absl::OkStatus();
        return TakeRound(declared, record.record.round(), record.payload);
      }));
  for (size_t i = 0; i < declared->blocks.size(); ++i) {
    if (declared->blocks[i]->Snapshot().version == recovery->books.blocks()[i].version) continue;
    return absl::DataLossError(
        absl::StrCat("the log ends before the checkpoint, in block ", declared->numbers[i]));
  }
  LOG(INFO) << task_ << ": " << rounds << " records of its log, from segment " << recovery->segment;
  return absl::OkStatus();
}

// A log that began with the copy of a standby has the blocks of the copy.
absl::Status Shard::TakeState(Declared* declared, const v1::LogRecord::BlockState& state,
                              const Payload& payload) const {
  const bool known = state.block() < declared->local.size() && declared->local[state.block()] >= 0;
  if (!known) return absl::DataLossError("the state of a block that is not here");
  std::unique_ptr<Block>& block =
      declared->blocks[static_cast<size_t>(declared->local[state.block()])];
  if (state.version() <= block->Snapshot().version) return absl::OkStatus();
  PARLEY_ASSIGN_OR_RETURN(block, BlockOf(declared->job, declared->OptimizerOf(state.block()), state,
                                         payload, options_.arena));
  return absl::OkStatus();
}

absl::Status Shard::TakeRound(Declared* declared, const v1::LogRecord::Round& round,
                              const Payload& payload) const {
  const size_t index = static_cast<size_t>(declared->local[round.block()]);
  Block& block = *declared->blocks[index];
  if (round.version() <= block.Snapshot().version)
    return absl::OkStatus();  // the checkpoint has it
  const int parameter = declared->job.blocks()[round.block()].parameter;
  const int count = declared->norm_plan.NumSums(parameter, round.version());
  if (round.sums_size() != count) {
    return absl::DataLossError(absl::StrCat("round ", round.version(), " of block ", round.block(),
                                            " has not the sums of its optimizer"));
  }
  PARLEY_RETURN_IF_ERROR(ReplayRound(*declared->optimizers[parameter], round, payload, &block));
  const std::vector<double> sums(round.sums().begin(), round.sums().end());
  if (count > 0 && declared->norms->AddSums(index, round.version(), sums)) {
    declared->norms->Finish(round.version());
  }
  return absl::OkStatus();
}

}  // namespace parley
