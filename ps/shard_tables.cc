// What a Shard does with tables: their parts, each in its queue, take rounds and answer pulls.

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/row_wire.h"
#include "ps/float_buffer.h"
#include "ps/shard.h"
#include "ps/table_checkpoint.h"

namespace parley {
namespace {

// An arena hands out freed buffers again to who asks for as much: answers have few sizes.
size_t RoundedFloats(size_t bytes) {
  size_t floats = 1024;
  while (floats * sizeof(float) < bytes) floats *= 2;
  return floats;
}

}  // namespace

absl::Status Shard::MakeTables(const std::string& checkpoint,
                               std::vector<std::unique_ptr<ShardTable>> copied, Declared* declared,
                               std::vector<ShardState::BlockClocks>* clocks) const {
  const Job& job = declared->job;
  const int tables = job.spec().tables_size();
  for (int i = 0; i < tables && !options_.log_folder.empty(); ++i) {
    if (job.spec().tables(i).admit_after_rounds() <= 1) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("table ", job.spec().tables(i).name(),
                     " has admit_after_rounds, whose counts no log has: allowed is a ps task "
                     "without --durability=disk"));
  }
  if (tables == 0) return absl::OkStatus();
  const size_t num_parts = copied.empty() ? owners_->size() : copied.front()->num_parts();
  for (size_t part = 0; part < num_parts; ++part) {
    declared->queues.push_back(std::make_unique<TaskQueue>(owners_.get()));
    declared->part_queues.push_back(declared->queues.back().get());
  }
  std::vector<RestoredTable> restored;
  if (!checkpoint.empty() && copied.empty()) {
    PARLEY_ASSIGN_OR_RETURN(restored,
                            RestoreTables(options_.env, options_.checkpoint_folder, checkpoint, job,
                                          options_.shard_index, num_parts, options_.spill_folder));
  }
  for (int i = 0; i < tables; ++i) {
    PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Policy> policy,
                            NewPolicy(job.PolicyOfTable(i), job.spec().num_workers(), {}));
    declared->table_policies.push_back(std::move(policy));
    if (!copied.empty()) {
      declared->tables.push_back(std::move(copied[static_cast<size_t>(i)]));
      clocks->emplace_back();
    } else if (restored.empty()) {
      PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<ShardTable> table,
                              ShardTable::Create(job, i, options_.shard_index, num_parts,
                                                 /*version=*/0, options_.spill_folder));
      declared->tables.push_back(std::move(table));
      clocks->emplace_back();
    } else {
      RestoredTable& table = restored[static_cast<size_t>(i)];
      clocks->push_back({table.table->version(0), std::move(table.clocks)});
      declared->tables.push_back(std::move(table.table));
    }
  }
  return absl::OkStatus();
}

absl::Status Shard::DecodeTables(const Declared& declared, const v1::PushPullRequest& request,
                                 const std::string& who, PayloadReader* gradients,
                                 ShardState::PushPull* decoded,
                                 std::vector<PulledRows>* rows) const {
  const auto find = [&](uint32_t table) -> absl::StatusOr<const ShardTable*> {
    if (table < declared.tables.size()) return declared.tables[table].get();
    return absl::NotFoundError(absl::StrCat(who, ": there is no table ", table, "; job ",
                                            declared.job.name(), " has ", declared.tables.size()));
  };
  if (static_cast<size_t>(request.push_rows_size()) > declared.tables.size() ||
      static_cast<size_t>(request.pull_rows_size()) > declared.tables.size()) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": it names more tables than there are"));
  }
  if (request.average() && request.pull_rows_size() > 0) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": rows have no averages"));
  }
  int64_t memory = 0;
  for (const std::unique_ptr<ShardTable>& table : declared.tables) memory += table->memory();
  for (const v1::TableRows& pushed : request.push_rows()) {
    PARLEY_ASSIGN_OR_RETURN(const ShardTable* const table, find(pushed.table()));
    Gradient gradient;
    if (request.skip() && pushed.keys_size() > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(who, ", table ", table->name(), ": a step that is skipped pushes no rows"));
    }
    if (memory > declared.table_memory && pushed.keys_size() > 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat(who, ", table ", table->name(), ": tables take ", memory,
                       " bytes here, the limit is ", declared.table_memory));
    }
    auto taken = table->TakeGradients(pushed, request.rows_dtype(), gradients);
    if (!taken.ok()) {
      return Annotate(taken.status(), absl::StrCat(who, ", table ", table->name()));
    }
    gradient.rows = *std::move(taken);
    decoded->pushes.push_back(
        {declared.blocks.size() + pushed.table(), pushed.base_version(), std::move(gradient)});
  }
  for (const v1::TableRows& pulled : request.pull_rows()) {
    PARLEY_ASSIGN_OR_RETURN(const ShardTable* const table, find(pulled.table()));
    absl::StatusOr<std::vector<PartKeys>> parts = table->Split(pulled);
    if (!parts.ok()) return Annotate(parts.status(), absl::StrCat(who, ", table ", table->name()));
    decoded->pulls.push_back(declared.blocks.size() + pulled.table());
    rows->push_back({pulled.table(), static_cast<size_t>(pulled.keys_size()), *std::move(parts)});
  }
  return absl::OkStatus();
}

// Each part's queue takes its rows. They may end in any order, but all of one round have ended
// before all of the next one have.
void Shard::PostTableRounds(Declared* declared, std::vector<ShardState::Round>* rounds,
                            int64_t help, Outcome* outcome) {
  struct Shared {
    ShardState::Round round;
    std::atomic<size_t> missing;
    std::atomic<uint32_t> digest{0};
  };
  const auto first_table = std::stable_partition(
      rounds->begin(), rounds->end(),
      [declared](const ShardState::Round& round) { return round.block < declared->blocks.size(); });
  for (auto round = first_table; round != rounds->end(); ++round) {
    const size_t table = round->block - declared->blocks.size();
    auto shared = std::make_shared<Shared>();
    shared->round = std::move(*round);
    shared->missing = declared->part_queues.size();
    for (size_t part = 0; part < declared->part_queues.size(); ++part) {
      TaskQueue* const queue = declared->part_queues[part];
      TaskQueue::Task task = [this, declared, table, part, shared] {
        ShardTable& of = *declared->tables[table];
        of.Apply(part, shared->round.gradients);
        if (declared->sink != nullptr && IsDigested(of, of.version(part))) {
          shared->digest.fetch_add(of.Digest(part, shared->round.gradients),
                                   std::memory_order_relaxed);
        }
        if (shared->missing.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
        const size_t block = shared->round.block;
        if (declared->sink == nullptr) return ReportApplied(declared, {block});
        // The next round ends after this task does, for this part has it then: so records come in
        // their order.
        std::vector<ShardRecord> records;
        const int64_t version = of.version(part);
        records.push_back(RecordOfTable(*declared, shared->round, version,
                                        shared->digest.load(std::memory_order_relaxed)));
        declared->sink->Append(std::move(records),
                               [this, declared, block] { ReportApplied(declared, {block}); });
        if (declared->fill != nullptr) declared->fill->Recorded(table, version);
      };
      // Whoever brought the last gradient takes one part, and the pool's threads the others.
      if (help == kAll && part + 1 == declared->part_queues.size()) {
        queue->PostToHelp(std::move(task));
        outcome->help.push_back(queue);
      } else {
        queue->Post(std::move(task));
      }
    }
  }
  rounds->erase(first_table, rounds->end());
}

// The rows of one answer while the parts write them.
struct Shard::GatheredRows {
  // The shard may be gone before all parts have written theirs.
  ~GatheredRows() {
    if (done) done(absl::UnavailableError("the shard is stopping"));
  }

  PushPullReply reply;
  Done<PushPullReply> done;
  std::vector<PulledRows> pulls;
  std::vector<std::shared_ptr<FloatBuffer>> rows;               // by pull
  std::vector<std::unique_ptr<std::atomic<int64_t>>> versions;  // by pull: the least of its parts
  std::atomic<size_t> missing;
};

void Shard::AnswerRows(Declared* declared, std::vector<PulledRows> pulls, v1::DType dtype,
                       int64_t help, PushPullReply reply, Done<PushPullReply> done) {
  auto gathered = std::make_shared<GatheredRows>();
  gathered->reply = std::move(reply);
  gathered->done = std::move(done);
  size_t keys = 0;
  for (const PulledRows& pull : pulls) {
    const size_t bytes =
        pull.num_keys *
        RowWireBytes(dtype, static_cast<size_t>(declared->tables[pull.table]->layout().width));
    keys += pull.num_keys;
    gathered->rows.push_back(
        std::make_shared<FloatBuffer>(RoundedFloats(bytes), options_.arena.get()));
    gathered->versions.push_back(
        std::make_unique<std::atomic<int64_t>>(std::numeric_limits<int64_t>::max()));
  }
  gathered->pulls = std::move(pulls);
  gathered->missing = declared->part_queues.size();
  // Telling another thread costs as much as some hundred rows.
  constexpr size_t kFew = 1024;
  for (size_t part = 0; part < declared->part_queues.size(); ++part) {
    TaskQueue* const queue = declared->part_queues[part];
    TaskQueue::Task task = [this, declared, part, dtype, gathered] {
      GatherPart(declared, part, dtype, gathered.get());
    };
    const bool last = part + 1 == declared->part_queues.size();
    if (keys <= kFew || (last && help == kAll)) {
      queue->PostToHelp(std::move(task));
      queue->Help();
    } else {
      queue->Post(std::move(task));
    }
  }
}

void Shard::GatherPart(Declared* declared, size_t part, v1::DType dtype, GatheredRows* gathered) {
  for (size_t i = 0; i < gathered->pulls.size(); ++i) {
    const PulledRows& pull = gathered->pulls[i];
    const int64_t version = declared->tables[pull.table]->Gather(
        part, pull.parts[part], dtype, reinterpret_cast<std::byte*>(gathered->rows[i]->data()));
    std::atomic<int64_t>& least = *gathered->versions[i];
    int64_t known = least.load(std::memory_order_relaxed);
    while (version < known &&
           !least.compare_exchange_weak(known, version, std::memory_order_relaxed)) {
    }
  }
  if (gathered->missing.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  for (const PulledRows& pull : gathered->pulls) {
    const ShardTable& table = *declared->tables[pull.table];
    if (const absl::Status lost = table.health(); !lost.ok()) {
      metrics_.RequestFailed(lost);
      return std::exchange(gathered->done,
                           nullptr)(Annotate(lost, absl::StrCat(task_, ": table ", table.name())));
    }
  }
  PushPullReply& reply = gathered->reply;
  for (size_t i = 0; i < gathered->pulls.size(); ++i) {
    const PulledRows& pull = gathered->pulls[i];
    const size_t bytes =
        pull.num_keys *
        RowWireBytes(dtype, static_cast<size_t>(declared->tables[pull.table]->layout().width));
    reply.response.add_version(gathered->versions[i]->load(std::memory_order_relaxed));
    if (reply.response.skipped_size() > 0) reply.response.add_skipped(false);
    const std::shared_ptr<FloatBuffer>& rows = gathered->rows[i];
    reply.payload.Append(rows->data(), bytes, rows);
  }
  bytes_pulled_.fetch_add(static_cast<int64_t>(reply.payload.size()), std::memory_order_relaxed);
  std::exchange(gathered->done, nullptr)(std::move(reply));
}

}  // namespace parley
