// How a Shard writes its changes down, on disk and at another task.

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/random_id.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/checkpoint_folder.h"
#include "ps/replay.h"
#include "ps/shard.h"

namespace parley {
namespace {

// The mean gradient of the round is the one that came: there is nothing to compute.
bool IsItsOwnMean(const ShardState::Round& round) {
  return round.gradients.size() == 1 && round.gradients[0].dtype == v1::FLOAT32 &&
         (round.correction.compensation == 0 || round.gradients[0].base == nullptr);
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

absl::Status Shard::BeginSinks(Declared* declared, const std::string& checkpoint) {
  if (!HasSink()) return absl::OkStatus();
  v1::Books identity;
  *identity.mutable_spec() = declared->job.spec();
  identity.set_checkpoint(checkpoint);
  identity.set_log_id(RandomId());
  std::vector<int64_t> versions;
  std::vector<std::vector<int64_t>> clocks;
  const std::vector<uint32_t> numbers = ShardBooks::NumbersOf(declared->job, options_.shard_index);
  for (size_t i = 0; i < numbers.size(); ++i) {
    ShardState::BlockClocks block = declared->state->ClocksOf(i);
    versions.push_back(block.version);
    clocks.push_back(std::move(block.clocks));
  }
  ShardBooks books(options_.shard_index, numbers, versions, clocks, declared->state->counts());
  SinkStart start;
  start.begins_anew = true;
  return StartSinks(declared, std::move(identity), std::move(books), start);
}

absl::Status Shard::StartSinks(Declared* declared, v1::Books identity, ShardBooks books,
                               SinkStart start) {
  if (options_.copy_place != nullptr) identity.set_term(options_.copy_place->term());
  if (!options_.log_folder.empty()) {
    // That of an earlier term, when this task led the shard before.
    if (start.segment == 1) {
      PARLEY_RETURN_IF_ERROR(parley::RemoveLog(options_.env, options_.log_folder));
    }
    LogWriter::Options options;
    options.env = options_.env;
    options.folder = options_.log_folder;
    options.failed = [this, declared](const absl::Status& status) {
      Fail(declared, Annotate(status, absl::StrCat(task_, " can write nothing down any more")));
    };
    options.full = [this, declared](const absl::Status& status) {
      Outcome outcome;
      {
        MutexLock lock(&mutex_);
        outcome = CarryOut(declared, declared->state->RefusePushes(status, Now()), kNone);
      }
      Conclude(std::move(outcome));
    };
    options.may_wait_for_room = !start.begins_anew;
    options.synced = [this](absl::Duration took, int64_t bytes) {
      metrics_.LogSynced(took, bytes);
      if (trace() == nullptr) return;
      Trace::Span span = {};
      span.name = "sync log";
      span.end = trace()->Now();
      span.begin = span.end - took;
      span.bytes = bytes;
      trace()->Add(span);
    };
    PARLEY_ASSIGN_OR_RETURN(declared->log, LogWriter::Create(std::move(options), identity, books,
                                                             start.segment, start.previous_bytes));
    declared->sink = declared->log.get();
  }
  if (HasCopy()) {
    ReplicaSink::Options options;
    options.task = task_;
    options.place = options_.copy_place != nullptr
                        ? options_.copy_place
                        : std::make_shared<FixedCopyPlace>(options_.standby, start.term);
    options.shard = options_.shard_index;
    options.begins_anew = start.begins_anew;
    options.patience = options_.standby_patience;
    options.env = options_.env;
    options.trace = options_.trace;
    options.fill = [this, declared] { FillReplica(declared); };
    options.table_memory = [declared] {
      int64_t bytes = 0;
      for (const std::unique_ptr<ShardTable>& table : declared->tables) bytes += table->memory();
      return bytes;
    };
    options.superseded = [this, declared](const absl::Status& status) {
      // Where another task took over, who asks finds it.
      Fail(declared,
           Annotate(
               options_.copy_place == nullptr ? status : absl::UnavailableError(status.message()),
               task_));
    };
    declared->replica =
        std::make_unique<ReplicaSink>(std::move(options), std::move(identity), std::move(books));
    declared->sink = declared->replica.get();
    std::vector<TableFill::Table> tables;
    for (size_t i = 0; i < declared->tables.size(); ++i) {
      tables.push_back(
          {declared->tables[i].get(), declared->job.BlockOfTable(static_cast<int>(i))});
    }
    if (!tables.empty()) {
      declared->fill = std::make_unique<TableFill>(
          std::move(tables), declared->part_queues,
          [replica = declared->replica.get()](std::vector<ShardRecord> records) {
            replica->Append(std::move(records), nullptr);
          });
    }
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
  if (declared->fill != nullptr) declared->fill->Begin();
  for (size_t i = 0; i < declared->blocks.size(); ++i) {
    declared->QueueOf(i).Post([this, declared, i] {
      RunInTurn(declared, i, [this, declared, i] {
        std::vector<ShardRecord> records;
        records.push_back(StateRecordOf(*declared, i));
        declared->replica->Append(std::move(records), nullptr);
      });
    });
  }
}

ShardRecord Shard::StateRecordOf(const Declared& declared, size_t block) const {
  ShardRecord record;
  v1::LogRecord::BlockState* const state = record.record.mutable_block_state();
  *state = StateOf(declared.numbers[block], *declared.blocks[block], &record.payload);
  MutexLock lock(&mutex_);
  SetNormSums(declared.norms->SumsOfBlock(block, state->version()), state);
  return record;
}

ShardRecord Shard::RecordOf(const Declared& declared, const ShardState::Round& round,
                            int64_t version, float** mean) const {
  ShardRecord result;
  v1::LogRecord::Round* const record = result.record.mutable_round();
  DescribeRound(declared, round, version, record);
  record->set_rate_scale(round.correction.rate);
  for (const Gradient& gradient : round.gradients) {
    if (gradient.rate_factor.has_value()) record->set_rate_factor(*gradient.rate_factor);
  }
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

// By the table's part that is the last to have the round.
ShardRecord Shard::RecordOfTable(const Declared& declared, const ShardState::Round& round,
                                 int64_t version, uint32_t digest) const {
  ShardRecord result;
  v1::LogRecord::Round* const record = result.record.mutable_round();
  DescribeRound(declared, round, version, record);
  const size_t table = round.block - declared.blocks.size();
  const size_t width = static_cast<size_t>(declared.tables[table]->layout().width);
  if (IsDigested(*declared.tables[table], version)) record->set_state_crc32c(digest);
  for (const Gradient& gradient : round.gradients) {
    const RowGradients& rows = *gradient.rows;
    size_t count = 0;
    for (const PartKeys& part : rows.parts) count += part.keys.size();
    record->add_rows(static_cast<uint32_t>(count));
    const auto keys = std::make_shared<std::vector<uint64_t>>(count);
    for (const PartKeys& part : rows.parts) {
      for (size_t i = 0; i < part.keys.size(); ++i) (*keys)[part.places[i]] = part.keys[i];
    }
    if (count == 0) continue;
    result.payload.Append(keys->data(), count * sizeof(uint64_t), keys);
    result.payload.Append(rows.rows.get(), count * width * sizeof(float), rows.rows);
  }
  return result;
}

void Shard::DescribeRound(const Declared& declared, const ShardState::Round& round, int64_t version,
                          v1::LogRecord::Round* record) const {
  const size_t blocks = declared.blocks.size();
  record->set_block(round.block < blocks
                        ? declared.numbers[round.block]
                        : declared.job.BlockOfTable(static_cast<int>(round.block - blocks)));
  record->set_version(version);
  for (const ShardState::Contribution& part : round.contributions) {
    v1::LogRecord::Contribution* const contribution = record->add_contributions();
    contribution->set_worker(part.worker);
    contribution->set_incarnation(part.incarnation);
    contribution->set_sequence(part.sequence);
  }
  record->mutable_clocks()->Add(round.clocks.begin(), round.clocks.end());
  if (round.workers.has_value()) *record->mutable_workers() = *round.workers;
  record->set_skipped(round.gradients.empty());
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
  const auto missing = std::make_shared<std::atomic<size_t>>(declared->queues.size());
  MutexLock lock(&mutex_);
  if (stopping_) return;  // an owner may be gone
  for (const std::unique_ptr<TaskQueue>& queue : declared->queues) {
    queue->Post([declared, kept, missing] {
      declared->sink->Append({}, [kept, missing] {
        if (missing->fetch_sub(1, std::memory_order_acq_rel) == 1) kept->IsKept();
      });
    });
  }
}

void Shard::KeepMember(Declared* declared, const v1::Sender& sender, v1::Books::Presence presence,
                       const std::vector<int64_t>& clocks,
                       absl::AnyInvocable<void(const absl::Status&)> then) {
  ShardRecord record;
  v1::LogRecord::Member* const member = record.record.mutable_member();
  member->set_worker(sender.worker());
  member->set_incarnation(sender.incarnation());
  member->set_presence(presence);
  member->mutable_clocks()->Add(clocks.begin(), clocks.end());
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

}  // namespace parley
