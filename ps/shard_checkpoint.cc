// How a Shard restores and saves its blocks.

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "ps/checkpoint_reader.h"
#include "ps/checkpoint_writer.h"
#include "ps/shard.h"
#include "ps/table_checkpoint.h"

namespace parley {

absl::Status Shard::MakeBlocks(const std::string& checkpoint, Declared* declared,
                               std::vector<ShardState::BlockClocks>* clocks) const {
  if (checkpoint.empty()) {
    for (const uint32_t number : declared->numbers) {
      declared->blocks.push_back(
          Block::Initialized(declared->job, number, declared->OptimizerOf(number), options_.arena));
    }
    return absl::OkStatus();
  }
  if (options_.checkpoint_folder.empty()) {
    return absl::FailedPreconditionError("it was started without a checkpoint folder");
  }
  PARLEY_ASSIGN_OR_RETURN(
      std::vector<RestoredBlock> restored,
      RestoreBlocks(options_.env, options_.checkpoint_folder, checkpoint, declared->job,
                    options_.shard_index, options_.optimizers, options_.arena.get()));
  for (size_t i = 0; i < restored.size(); ++i) {
    (*clocks)[i] = {restored[i].version, std::move(restored[i].clocks)};
    declared->blocks.push_back(
        std::make_unique<Block>(std::move(restored[i].values), std::move(restored[i].slots),
                                restored[i].version, options_.arena, restored[i].rate_factor));
  }
  return absl::OkStatus();
}

// The blocks of one checkpoint while their owner threads copy them.
struct Shard::CheckpointCut {
  // A block may be in the middle of a round when the shard is destroyed.
  ~CheckpointCut() {
    if (done) done(absl::UnavailableError("the shard is stopping"));
  }
  void Answer(absl::StatusOr<v1::CheckpointResponse> response) {
    std::exchange(done, nullptr)(std::move(response));
  }

  int64_t step;
  int64_t number;            // of the job's cuts
  bool tracks;               // the next one may be based on it
  BaseStep base;             // it has only what changed since
  LastCut base_cut;          // that
  LastCut last;              // what it will be, for the next
  uint64_t log_segment = 0;  // the first that has what the copies have not; 0: there is no log
  Done<v1::CheckpointResponse> done;
  std::vector<SavedBlock> blocks;
  std::vector<std::vector<absl::StatusOr<SavedTable>>> tables;  // by table and part
  std::vector<std::vector<int64_t>> table_clocks;               // by table
  std::atomic<size_t> missing;  // blocks, and parts of tables, that are not copied yet
};

// A checkpoint whose chief trains on while it is written.
struct Shard::BegunCheckpoint {
  void Finish(const absl::StatusOr<v1::CheckpointResponse>& response) {
    std::vector<Done<v1::CheckpointResponse>> waiting;
    {
      MutexLock lock(&mutex);
      result = response;
      waiting.swap(waiters);
    }
    for (Done<v1::CheckpointResponse>& waiter : waiting) waiter(response);
  }
  void Await(Done<v1::CheckpointResponse> done) {
    absl::optional<absl::StatusOr<v1::CheckpointResponse>> known;
    {
      MutexLock lock(&mutex);
      if (result.has_value()) {
        known = result;
      } else {
        waiters.push_back(std::move(done));
      }
    }
    if (known.has_value()) done(*std::move(known));
  }

  bool IsOver() {
    MutexLock lock(&mutex);
    return result.has_value();
  }

  int64_t step;
  uint64_t incarnation;  // of the chief
  Mutex mutex;
  absl::optional<absl::StatusOr<v1::CheckpointResponse>> result ABSL_GUARDED_BY(mutex);
  std::vector<Done<v1::CheckpointResponse>> waiters ABSL_GUARDED_BY(mutex);
};

void Shard::Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) {
  const absl::StatusOr<Declared*> found = Find(request.sender().job());
  absl::Status refused = found.status();
  if (refused.ok() && options_.checkpoint_folder.empty()) {
    refused = absl::FailedPreconditionError(
        absl::StrCat(task_, " was started without a checkpoint folder"));
  }
  if (refused.ok() && request.step() < 0) {
    refused = absl::InvalidArgumentError(absl::StrCat(task_, ": checkpoint of a negative step"));
  }
  std::shared_ptr<BegunCheckpoint> begun;
  if (refused.ok()) {
    Declared* const declared = *found;
    MutexLock lock(&mutex_);
    refused = stopping_ ? absl::UnavailableError(absl::StrCat(task_, " is stopping"))
                        : declared->state->CheckSender(request.sender().worker(),
                                                       request.sender().incarnation(), Now());
    const bool is_begun = begun_ != nullptr && begun_->step == request.step() &&
                          begun_->incarnation == request.sender().incarnation();
    if (refused.ok() && request.finish() && !is_begun) {
      // Another one would be of later rounds.
      refused = absl::NotFoundError(
          absl::StrCat(task_, ": no checkpoint of step ", request.step(), " was begun here"));
    }
    // One that is begun at a step whose checkpoint is written is another.
    const bool comes_again = request.finish() || (request.begin() && is_begun && !begun_->IsOver());
    if (refused.ok() && is_begun && comes_again) begun = begun_;
    if (refused.ok() && begun == nullptr) {
      auto cut = std::make_shared<CheckpointCut>();
      cut->step = request.step();
      cut->number = ++declared->cuts;
      cut->tracks = request.tracks();
      const LastCut& last = declared->last_cut;
      if (request.has_base() && last.number > 0 && last.number + 1 == cut->number &&
          last.step < cut->step && last.file.file() == request.base().file() &&
          last.file.bytes() == request.base().bytes() &&
          last.file.crc32c() == request.base().crc32c()) {
        cut->base = last.step;
        cut->base_cut = last;
      }
      cut->last.versions.resize(declared->blocks.size());
      if (request.begin()) {
        begun_ = begun = std::make_shared<BegunCheckpoint>();
        begun->step = request.step();
        begun->incarnation = request.sender().incarnation();
        cut->done = [begun](absl::StatusOr<v1::CheckpointResponse> response) {
          begun->Finish(response);
        };
      } else {
        cut->done = std::move(done);
      }
      cut->blocks.resize(declared->blocks.size());
      cut->tables.resize(declared->tables.size());
      for (std::vector<absl::StatusOr<SavedTable>>& parts : cut->tables) {
        parts.resize(declared->part_queues.size());
      }
      cut->missing =
          declared->blocks.size() + declared->tables.size() * declared->part_queues.size();
      PostCut(declared, cut);
      if (!request.begin()) return;
    }
  }
  if (!refused.ok()) return done(refused);
  if (request.finish()) return begun->Await(std::move(done));
  done(v1::CheckpointResponse());
}

// A block's copy stands behind the rounds scheduled by now, so the clocks read here are those of
// the copy.
void Shard::PostCut(Declared* declared, const std::shared_ptr<CheckpointCut>& cut) {
  if (declared->log != nullptr) cut->log_segment = declared->log->Roll();
  const auto write = [this, declared, cut] {
    background_->Post([this, declared, cut] { WriteCut(declared, cut.get()); });
  };
  // A checkpoint must not have rounds that the log may yet lose.
  const auto write_when_kept = [declared, write] {
    if (declared->sink == nullptr || PARLEY_PLANTED_BUG("checkpoint_has_what_the_log_may_lose"))
      return write();
    declared->sink->Append({}, write);
  };
  if (cut->missing == 0) write();  // more shards than blocks
  for (size_t table = 0; table < declared->tables.size(); ++table) {
    cut->table_clocks.push_back(declared->state->ClocksOf(cut->blocks.size() + table).clocks);
    for (size_t part = 0; part < declared->part_queues.size(); ++part) {
      declared->part_queues[part]->Post([declared, cut, table, part, write_when_kept] {
        ShardTable& of = *declared->tables[table];
        cut->tables[table][part] = SavePart(&of, part, cut->base.has_value());
        of.TrackChanges(part, cut->tracks);
        if (cut->missing.fetch_sub(1, std::memory_order_acq_rel) == 1) write_when_kept();
      });
    }
  }
  for (size_t i = 0; i < declared->blocks.size(); ++i) {
    SavedBlock& block = cut->blocks[i];
    block.number = declared->numbers[i];
    block.clocks = declared->state->ClocksOf(i).clocks;
    declared->QueueOf(i).Post([this, declared, cut, i, write_when_kept] {
      RunInTurn(declared, i, [declared, cut, i, write_when_kept] {
        CutBlock(*declared, i, cut.get());
        if (cut->missing.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
        write_when_kept();
      });
    });
  }
}

// By the block's queue.
void Shard::CutBlock(const Declared& declared, size_t i, CheckpointCut* cut) {
  const Block& block = *declared.blocks[i];
  SavedBlock& saved = cut->blocks[i];
  const BlockSnapshot now = block.Snapshot();
  cut->last.versions[i] = now.version;
  saved.unchanged = cut->base.has_value() && cut->base_cut.versions[i] == now.version;
  if (!saved.unchanged) {
    saved.cut = block.Cut();
    return;
  }
  saved.cut.values.version = now.version;
  saved.cut.rate_factor = block.rate_factor();
  saved.num_slots = declared.OptimizerOf(declared.numbers[i]).num_slots();
}

void Shard::WriteCut(Declared* declared, CheckpointCut* cut) {
  const TraceScope scope(trace(), "write checkpoint");
  const absl::Time began = Now();
  RemoveOldSegments(declared);
  if (PARLEY_PLANTED_BUG("log_truncated_before_the_checkpoint") && declared->log)
    declared->log->RemoveBefore(cut->log_segment);
  ShardLogPlace log;
  if (declared->log != nullptr) log = {declared->log->log_id(), cut->log_segment};
  std::vector<SavedTable> tables;
  for (size_t i = 0; i < cut->tables.size(); ++i) {
    std::vector<SavedTable> parts;
    for (absl::StatusOr<SavedTable>& part : cut->tables[i]) {
      if (!part.ok()) {
        metrics_.CheckpointFailed();
        return cut->Answer(
            Annotate(part.status(), absl::StrCat(task_, ": checkpoint of step ", cut->step,
                                                 ", table ", declared->tables[i]->name())));
      }
      parts.push_back(*std::move(part));
    }
    tables.push_back(JoinParts(std::move(parts)));
    tables.back().clocks = cut->table_clocks[i];
  }
  const absl::StatusOr<v1::Manifest::ShardFile> file =
      WriteShard(options_.env, options_.checkpoint_folder, declared->job, options_.shard_index,
                 cut->step, cut->blocks, log, tables, cut->base);
  if (!file.ok()) {
    metrics_.CheckpointFailed();
    cut->Answer(Annotate(file.status(), absl::StrCat(task_, ": checkpoint of step ", cut->step)));
    return;
  }
  metrics_.CheckpointWritten(Now() - began, file->bytes());
  declared->log_segments[cut->step] = cut->log_segment;
  v1::CheckpointResponse response;
  response.set_file(file->file());
  response.set_bytes(file->bytes());
  response.set_crc32c(file->crc32c());
  response.set_incremental(cut->base.has_value());
  if (cut->tracks) {
    cut->last.number = cut->number;
    cut->last.step = cut->step;
    cut->last.file = response;
    MutexLock lock(&mutex_);
    declared->last_cut = std::move(cut->last);
  }
  cut->Answer(std::move(response));
}

}  // namespace parley
