// How a Shard goes on from what an earlier start of it wrote down: in its log, or at another task.

#include <algorithm>
#include <chrono>
#include <deque>
#include <future>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/planted_bug.h"
#include "base/random_id.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_format.h"
#include "ps/keyed_tasks.h"
#include "ps/log_format.h"
#include "ps/replay.h"
#include "ps/shard.h"
#include "ps/table_copy.h"
#include "ps/table_state.h"

namespace parley {
namespace {

// Bytes of records, or of blocks, that have come and are not taken in.
constexpr size_t kUnderWay = 32 << 20;

// What of the books is the job's.
v1::Books IdentityOf(const v1::Books& books) {
  v1::Books identity;
  *identity.mutable_spec() = books.spec();
  identity.set_checkpoint(books.checkpoint());
  identity.set_log_id(books.log_id());
  return identity;
}

// The first `bytes` of a segment are on disk, where who wrote them may have died before they were:
// what has been gone on from, and told about, must not go with the power.
absl::Status WriteAgain(Env* env, const std::string& folder, uint64_t segment, int64_t bytes) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  const std::string path = JoinPath(folder, LogSegmentName(segment));
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> from, env->OpenFile(path));
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> to, AtomicFile::Create(env, path));
  std::string piece;
  for (int64_t at = 0; at < bytes; at += kPiece) {
    piece.resize(static_cast<size_t>(std::min(kPiece, bytes - at)));
    PARLEY_RETURN_IF_ERROR(from->ReadAt(at, piece.data(), piece.size()));
    PARLEY_RETURN_IF_ERROR(to->Append(piece.data(), piece.size()));
  }
  if (PARLEY_PLANTED_BUG("unsynced_log_gone_on_from")) return absl::OkStatus();
  return to->Commit();
}

}  // namespace

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
    Recovery recovery{&*log, segment, *std::move(books), {}, {}, {}};
    absl::StatusOr<std::unique_ptr<Declared>> made =
        MakeDeclared(last.spec(), checkpoint, &recovery);
    if (!made.ok()) {
      why = made.status();
      LOG(WARNING) << task_ << ": its log cannot be gone on from "
                   << (checkpoint.empty() ? "the beginning" : checkpoint) << ": " << why.message();
      continue;
    }
    PARLEY_RETURN_IF_ERROR(Annotate(
        WriteAgain(options_.env, options_.log_folder, log->last_segment(), recovery.last_bytes),
        task_));
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
  const auto ask = [&](size_t piece, int64_t place = 0) {
    const auto promise = std::make_shared<std::promise<Reply>>();
    v1::FetchReplicaRequest request;
    request.set_shard(options_.shard_index);
    request.set_piece(static_cast<int>(piece));
    request.set_place(place);
    options_.standby->FetchReplica(
        request, [promise](Reply reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  };
  // The answer to one piece; asks again while the standby is not there.
  const auto await = [&](size_t piece, std::future<Reply> answer, int64_t place = 0) {
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
      answer = ask(piece, place);
    }
  };
  PARLEY_ASSIGN_OR_RETURN(const FetchReplicaReply first, await(0, ask(0)));
  if (!first.response.has_books()) return nullptr;
  const v1::Books& books = first.response.books();
  PARLEY_ASSIGN_OR_RETURN(const Job job, Job::Create(books.spec()));
  PARLEY_ASSIGN_OR_RETURN(ShardBooks made_books,
                          ShardBooks::FromProto(job, options_.shard_index, books));
  Recovery recovery{nullptr, 0, std::move(made_books), {}, {}, {}};
  // Some are on their way while others are taken in.
  constexpr size_t kAhead = 8;
  const size_t tables = static_cast<size_t>(job.spec().tables_size());
  const size_t count = recovery.books.numbers().size() - tables;
  recovery.blocks.resize(count);
  std::vector<std::unique_ptr<Optimizer>> optimizers;  // by parameter
  for (size_t i = 0; i < job.parameters().size(); ++i) {
    PARLEY_ASSIGN_OR_RETURN(
        std::unique_ptr<Optimizer> optimizer,
        NewOptimizer(job.OptimizerOf(static_cast<int>(i)), options_.optimizers));
    optimizers.push_back(std::move(optimizer));
  }
  int64_t bytes = 0;
  KeyedTasks taking(static_cast<int>(owners_->size()), kUnderWay);
  std::deque<std::future<Reply>> ahead;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t number = recovery.books.numbers()[i];
    while (ahead.size() < kAhead && i + ahead.size() < count)
      ahead.push_back(ask(i + ahead.size() + 1));
    std::future<Reply> answer = std::move(ahead.front());
    ahead.pop_front();
    PARLEY_ASSIGN_OR_RETURN(FetchReplicaReply reply, await(i + 1, std::move(answer)));
    const v1::LogRecord::BlockState& state = reply.response.block_state();
    if (state.block() != number || state.version() != recovery.books.blocks()[i].version) {
      return absl::DataLossError("the copy changed while it was fetched");
    }
    bytes += static_cast<int64_t>(reply.payload.size());
    recovery.norm_sums.push_back(NormSumsOf(state));
    const Optimizer& optimizer = *optimizers[job.blocks()[number].parameter];
    PARLEY_RETURN_IF_ERROR(taking.Post(
        i, reply.payload.size(),
        [this, &job, &optimizer, state, block = &recovery.blocks[i],
         payload = std::move(reply.payload)]() -> absl::Status {
          PARLEY_ASSIGN_OR_RETURN(*block, BlockOf(job, optimizer, state, payload, options_.arena));
          return absl::OkStatus();
        }));
  }
  PARLEY_RETURN_IF_ERROR(taking.Finish());
  for (size_t i = 0; i < tables; ++i) {
    const size_t piece = count + i + 1;
    PARLEY_ASSIGN_OR_RETURN(
        std::unique_ptr<ShardTable> table,
        FetchTable(job, static_cast<int>(i), recovery.books.blocks()[count + i].version,
                   [&](int64_t place) -> Reply {
                     Reply reply = await(piece, ask(piece, place), place);
                     if (reply.ok()) bytes += static_cast<int64_t>(reply->payload.size());
                     return reply;
                   }));
    recovery.tables.push_back(std::move(table));
  }
  LOG(INFO) << task_ << ": " << bytes << " bytes of its copy";
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Declared> made,
                          MakeDeclared(books.spec(), books.checkpoint(), &recovery));
  SinkStart start;
  start.term = first.response.term();
  v1::Books identity = IdentityOf(books);
  identity.set_log_id(RandomId());  // checkpoints of before know nothing of this log
  PARLEY_RETURN_IF_ERROR(
      StartSinks(made.get(), std::move(identity), std::move(recovery.books), start));
  LogStates(made.get());
  return made;
}

// A log that begins with a copy, and not with the job's first values. What comes later is kept
// behind it.
void Shard::LogStates(Declared* declared) const {
  if (declared->log == nullptr) return;
  std::vector<ShardRecord> states;
  for (size_t i = 0; i < declared->blocks.size(); ++i)
    states.push_back(StateRecordOf(*declared, i));
  declared->log->Append(std::move(states), nullptr);
  LogTableStates(declared);
}

bool Shard::IsEnding() const {
  MutexLock lock(&mutex_);
  return stopping_;
}

// Some are on their way to the disk while others are copied. A disk that has no room, or a slow
// one, is not waited for for ever: then the copies take memory instead.
void Shard::LogTableStates(Declared* declared) const {
  constexpr size_t kAhead = 32;
  const absl::Time deadline = Now() + options_.standby_patience;
  std::deque<std::future<void>> ahead;  // each of a MiB or so
  for (size_t i = 0; i < declared->tables.size(); ++i) {
    const ShardTable& table = *declared->tables[i];
    const uint32_t number = declared->job.BlockOfTable(static_cast<int>(i));
    for (size_t part = 0; part < table.num_parts(); ++part) {
      for (size_t next = 0; next < table.virtual_shards(part).size();) {
        absl::StatusOr<std::vector<ShardRecord>> records =
            TableStateOf(table, number, part, &next, table.virtual_shards(part).size());
        if (!records.ok()) return;  // the table's health says it
        std::promise<void> kept;    // or dropped
        ahead.push_back(kept.get_future());
        declared->log->Append(*std::move(records),
                              [kept = std::move(kept)]() mutable { kept.set_value(); });
        while (ahead.size() > kAhead) {
          const bool over = Now() >= deadline || IsEnding();
          const auto state = ahead.front().wait_for(std::chrono::milliseconds(over ? 0 : 100));
          if (over || state == std::future_status::ready) ahead.pop_front();
        }
      }
    }
  }
}

absl::StatusOr<std::unique_ptr<ShardTable>> Shard::FetchTable(
    const Job& job, int table, int64_t version,
    absl::FunctionRef<absl::StatusOr<FetchReplicaReply>(int64_t place)> ask) const {
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<TableCopy> copy,
                          TableCopy::Create(job, table, options_.shard_index, owners_->size(),
                                            version, options_.spill_folder));
  for (int64_t place = 0;; ++place) {
    PARLEY_ASSIGN_OR_RETURN(const FetchReplicaReply reply, ask(place));
    if (!reply.response.more()) break;
    PARLEY_RETURN_IF_ERROR(copy->TakeState(reply.response.table_state(), reply.payload));
  }
  if (copy->IsWhole()) return copy->Release();
  return absl::DataLossError(
      absl::StrCat("of table ", copy->table().name(), " the copy has not all rows"));
}

absl::Status Shard::TakeOver(ShardCopy copy) {
  for (size_t i = 0; i < copy.blocks.size(); ++i) {
    if (copy.blocks[i] == nullptr ||
        copy.blocks[i]->Snapshot().version != copy.books.blocks()[i].version) {
      return absl::DataLossError(absl::StrCat(task_, ": its copy is not whole"));
    }
  }
  for (size_t i = 0; i < copy.tables.size(); ++i) {
    const int64_t version = copy.books.blocks()[copy.blocks.size() + i].version;
    if (copy.tables[i]->version(0) == version) continue;
    return absl::DataLossError(absl::StrCat(task_, ": its copy has other rows than its books"));
  }
  Recovery recovery{nullptr,
                    0,
                    std::move(copy.books),
                    std::move(copy.blocks),
                    std::move(copy.norm_sums),
                    std::move(copy.tables)};
  absl::StatusOr<std::unique_ptr<Declared>> made =
      MakeDeclared(copy.identity.spec(), copy.identity.checkpoint(), &recovery);
  if (!made.ok()) return Annotate(made.status(), task_);
  copy.identity.set_log_id(RandomId());  // checkpoints of before know nothing of this log
  PARLEY_RETURN_IF_ERROR(Annotate(
      StartSinks(made->get(), std::move(copy.identity), std::move(recovery.books), SinkStart()),
      task_));
  LogStates(made->get());
  Publish(*std::move(made));
  return absl::OkStatus();
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

// One thread reads and checks the records, others apply them, those of one block in their order.
absl::Status Shard::Replay(Declared* declared, Recovery* recovery) const {
  int64_t records = 0;
  int64_t bytes = 0;
  bool from_copy = false;         // it begins with the state of blocks
  std::vector<int64_t> versions;  // by block, when what was posted is done
  for (const std::unique_ptr<Block>& block : declared->blocks) {
    versions.push_back(block->Snapshot().version);
  }
  for (const std::unique_ptr<ShardTable>& table : declared->tables) {
    versions.push_back(table->version(0));
  }
  const size_t first_table = declared->job.blocks().size();
  std::vector<bool> began_with_rows(versions.size());  // those of a copy
  std::vector<std::unique_ptr<TableCopy>> copies(declared->tables.size());
  KeyedTasks applying(static_cast<int>(owners_->size()), kUnderWay);
  PARLEY_ASSIGN_OR_RETURN(
      recovery->last_bytes, recovery->log->Replay(recovery->segment, [&](ReadLogRecord read) {
        const v1::LogRecord& record = read.record;
        PARLEY_RETURN_IF_ERROR(recovery->books.Take(record));
        ++records;
        bytes += static_cast<int64_t>(read.payload.size());
        if (!IsState(record) && !record.has_round()) return absl::OkStatus();
        const bool is_round = record.has_round();
        const bool has_rows = record.has_table_state();
        const uint32_t number = is_round   ? record.round().block()
                                : has_rows ? record.table_state().block()
                                           : record.block_state().block();
        const int64_t version = is_round   ? record.round().version()
                                : has_rows ? record.table_state().version()
                                           : record.block_state().version();
        const bool is_table = (is_round || has_rows) && number >= first_table &&
                              number - first_table < declared->tables.size();
        if (!is_table &&
            (has_rows || number >= declared->local.size() || declared->local[number] < 0)) {
          return absl::DataLossError("a record of a block that is not here");
        }
        const size_t index = is_table ? declared->blocks.size() + (number - first_table)
                                      : static_cast<size_t>(declared->local[number]);
        const bool goes_on = has_rows && began_with_rows[index] && version == versions[index];
        if (!goes_on && version <= versions[index])
          return absl::OkStatus();  // the checkpoint has it
        versions[index] = version;
        if (has_rows) {
          began_with_rows[index] = true;
        } else if (!is_round) {
          from_copy = true;
          PARLEY_RETURN_IF_ERROR(declared->norms->Take(index, NormSumsOf(record.block_state())));
        } else if (!is_table) {
          PARLEY_RETURN_IF_ERROR(TakeSums(declared, record.round()));
        }
        const size_t size = read.payload.size();
        return applying.Post(
            index, size, [this, declared, index, is_table, &copies, read = std::move(read)] {
              if (is_table) {
                const size_t table = index - declared->blocks.size();
                return TakeTableRecord(declared, table, read.record, read.payload, &copies[table]);
              }
              return read.record.has_round()
                         ? TakeRound(declared, index, read.record.round(), read.payload)
                         : TakeState(declared, index, read.record.block_state(), read.payload);
            });
      }));
  PARLEY_RETURN_IF_ERROR(applying.Finish());
  for (size_t i = 0; i < copies.size(); ++i) {
    if (copies[i] == nullptr) continue;
    if (!copies[i]->IsWhole()) {
      return absl::DataLossError(
          absl::StrCat("the log has not all rows of table ", copies[i]->table().name()));
    }
    declared->tables[i] = copies[i]->Release();
  }
  for (size_t i = 0; i < versions.size(); ++i) {
    const int64_t version = i < declared->blocks.size()
                                ? declared->blocks[i]->Snapshot().version
                                : declared->tables[i - declared->blocks.size()]->version(0);
    if (version == recovery->books.blocks()[i].version) continue;
    return absl::DataLossError(absl::StrCat("the log ends before the checkpoint, in block ",
                                            recovery->books.numbers()[i]));
  }
  if (from_copy) declared->norms->ForgetUnknown(NormVersion(*declared));
  LOG(INFO) << task_ << ": " << records << " records of its log, from segment " << recovery->segment
            << ", " << bytes << " bytes";
  return absl::OkStatus();
}

// A log that began with the copy of a standby has the blocks of the copy.
absl::Status Shard::TakeState(Declared* declared, size_t index,
                              const v1::LogRecord::BlockState& state,
                              const Payload& payload) const {
  PARLEY_ASSIGN_OR_RETURN(
      declared->blocks[index],
      BlockOf(declared->job, declared->OptimizerOf(state.block()), state, payload, options_.arena));
  return absl::OkStatus();
}

// Likewise of the rows of a table, which are in `copy` then.
absl::Status Shard::TakeTableRecord(Declared* declared, size_t table, const v1::LogRecord& record,
                                    const Payload& payload,
                                    std::unique_ptr<TableCopy>* copy) const {
  if (record.has_round()) {
    return *copy == nullptr
               ? ReplayTableRound(record.round(), payload, declared->tables[table].get())
               : (*copy)->TakeRound(record.round(), payload);
  }
  if (*copy == nullptr) {
    PARLEY_ASSIGN_OR_RETURN(
        *copy,
        TableCopy::Create(declared->job, static_cast<int>(table), options_.shard_index,
                          owners_->size(), record.table_state().version(), options_.spill_folder));
  }
  return (*copy)->TakeState(record.table_state(), payload);
}

absl::Status Shard::TakeSums(Declared* declared, const v1::LogRecord::Round& round) const {
  const int parameter = declared->job.blocks()[round.block()].parameter;
  const int count = declared->norm_plan.NumSums(parameter, round.version());
  if (round.sums_size() != count) {
    return absl::DataLossError(absl::StrCat("round ", round.version(), " of block ", round.block(),
                                            " has not the sums of its optimizer"));
  }
  const std::vector<double> sums(round.sums().begin(), round.sums().end());
  const size_t index = static_cast<size_t>(declared->local[round.block()]);
  if (count > 0 && declared->norms->AddSums(index, round.version(), sums)) {
    declared->norms->Finish(round.version());
  }
  return absl::OkStatus();
}

absl::Status Shard::TakeRound(Declared* declared, size_t index, const v1::LogRecord::Round& round,
                              const Payload& payload) const {
  return ReplayRound(declared->OptimizerOf(round.block()), round, payload,
                     declared->blocks[index].get());
}

}  // namespace parley
