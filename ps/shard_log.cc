// How a Shard writes its changes down, and goes on from what an earlier start of it wrote.

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_format.h"
#include "ps/shard.h"

namespace parley {
namespace {

uint64_t RandomId() {
  std::random_device random;
  return (uint64_t{random()} << 32 | random()) | 1;
}

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

// Writing.

absl::Status Shard::BeginLog(Declared* declared, const std::string& checkpoint) {
  if (options_.log_folder.empty()) return absl::OkStatus();
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
  return StartLog(declared, std::move(identity), std::move(books), /*segment=*/1,
                  /*previous_bytes=*/0);
}

absl::Status Shard::StartLog(Declared* declared, v1::Books identity, ShardBooks books,
                             uint64_t segment, int64_t previous_bytes) {
  LogWriter::Options options;
  options.env = options_.env;
  options.folder = options_.log_folder;
  options.failed = [this, declared](const absl::Status& status) {
    const absl::Status reason =
        Annotate(status, absl::StrCat(task_, " can write nothing down any more"));
    LOG(ERROR) << reason.message();
    Outcome outcome;
    {
      MutexLock lock(&mutex_);
      log_status_ = reason;
      ShardState::Actions actions;
      declared->state->Fail(reason, &actions);
      outcome = CarryOut(declared, std::move(actions), kNone);
    }
    Conclude(std::move(outcome));
  };
  options.full = [this, declared](const absl::Status& status) {
    MutexLock lock(&mutex_);
    declared->state->RefusePushes(status);
  };
  PARLEY_ASSIGN_OR_RETURN(
      declared->log, LogWriter::Create(std::move(options), std::move(identity), std::move(books),
                                       segment, previous_bytes));
  return absl::OkStatus();
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
  if (declared->log == nullptr) return then(absl::OkStatus());
  std::vector<ShardRecord> records;
  records.push_back(std::move(record));
  declared->log->Append(std::move(records),
                        [kept = std::make_unique<WhenKept>(std::move(then))] { kept->IsKept(); });
}

void Shard::KeepWhatIsPosted(Declared* declared,
                             absl::AnyInvocable<void(const absl::Status&)> then) {
  if (declared->log == nullptr) return then(absl::OkStatus());
  const auto kept = std::make_shared<WhenKept>(std::move(then));
  const auto missing = std::make_shared<std::atomic<size_t>>(owners_.size());
  MutexLock lock(&mutex_);
  if (stopping_) return;  // an owner may be gone
  for (const std::unique_ptr<TaskThread>& owner : owners_) {
    owner->Post([declared, kept, missing] {
      declared->log->Append({}, [kept, missing] {
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

absl::Status Shard::log_status() const {
  MutexLock lock(&mutex_);
  return log_status_;
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
    Recovery recovery{&*log, segment, *std::move(books)};
    absl::StatusOr<std::unique_ptr<Declared>> made =
        MakeDeclared(last.spec(), checkpoint, &recovery);
    if (!made.ok()) {
      why = made.status();
      LOG(WARNING) << task_ << ": its log cannot be gone on from "
                   << (checkpoint.empty() ? "the beginning" : checkpoint) << ": " << why.message();
      continue;
    }
    v1::Books identity;
    *identity.mutable_spec() = last.spec();
    identity.set_checkpoint(last.checkpoint());
    identity.set_log_id(last.log_id());
    PARLEY_RETURN_IF_ERROR(
        Annotate(StartLog(made->get(), std::move(identity), std::move(recovery.books),
                          log->last_segment() + 1, recovery.last_bytes),
                 task_));
    MutexLock lock(&mutex_);
    declared_ = *std::move(made);
    next_tick_ = absl::InfinitePast();
    changed_.NotifyAll();
    return true;
  }
  return Annotate(why, task_);
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
        return record.record.has_round() ? ReplayRound(declared, record) : absl::OkStatus();
      }));
  for (size_t i = 0; i < declared->blocks.size(); ++i) {
    if (declared->blocks[i]->Snapshot().version == recovery->books.blocks()[i].version) continue;
    return absl::DataLossError(
        absl::StrCat("the log ends before the checkpoint, in block ", declared->numbers[i]));
  }
  LOG(INFO) << task_ << ": " << rounds << " records of its log, from segment " << recovery->segment;
  return absl::OkStatus();
}

absl::Status Shard::ReplayRound(Declared* declared, const ReadLogRecord& read) const {
  const v1::LogRecord::Round& round = read.record.round();
  const size_t index = static_cast<size_t>(declared->local[round.block()]);
  Block& block = *declared->blocks[index];
  const int64_t version = block.Snapshot().version;
  if (round.version() <= version) return absl::OkStatus();  // the checkpoint has it
  const int parameter = declared->job.blocks()[round.block()].parameter;
  const Optimizer& optimizer = *declared->optimizers[parameter];
  const int count = declared->norm_plan.NumSums(parameter, round.version());
  const size_t bytes = round.skipped() ? 0 : block.size() * sizeof(float);
  if (round.version() != version + 1 || read.payload.size() != bytes ||
      round.sums_size() != count) {
    return absl::DataLossError(absl::StrCat("round ", round.version(), " of block ", round.block(),
                                            " does not fit what is at version ", version));
  }
  std::vector<double> sums(round.sums().begin(), round.sums().end());
  Gradient gradient(read.payload);
  if (round.has_rate_factor()) gradient.rate_factor = round.rate_factor();
  if (round.skipped()) {
    block.Skip();
  } else if (count == 0) {
    block.Apply(optimizer, {&gradient, 1}, {round.rate_scale(), 0});
  } else {
    std::vector<double> again(sums.size());
    block.Prepare(optimizer, {&gradient, 1}, absl::MakeSpan(again));
    block.Finish(optimizer, {round.norms().data(), static_cast<size_t>(round.norms_size())});
  }
  if (count > 0 && declared->norms->AddSums(index, round.version(), sums)) {
    declared->norms->Finish(round.version());
  }
  return absl::OkStatus();
}

}  // namespace parley
