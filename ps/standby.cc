#include "ps/standby.h"

#include <algorithm>
#include <deque>
#include <future>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/machine_memory.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "net/job.h"
#include "net/norm_plan.h"
#include "ps/optimizer.h"
#include "ps/replay.h"
#include "ps/table_copy.h"
#include "ps/table_state.h"

namespace parley {
namespace {

constexpr int kMaxShards = 1 << 16;

}  // namespace

// A shard as its changes so far make it.
struct Standby::Copy {
  Copy(Job made_job, ShardBooks made_books)
      : job(std::move(made_job)),
        norm_plan(&job),
        books(std::move(made_books)),
        dense(
            books.numbers().begin(),
            std::lower_bound(books.numbers().begin(), books.numbers().end(), job.blocks().size())),
        norms(&job, &norm_plan, dense, /*version=*/0),
        blocks(dense.size()) {}

  bool IsWhole() const {
    return std::all_of(blocks.begin(), blocks.end(),
                       [](const std::unique_ptr<Block>& block) { return block != nullptr; }) &&
           (PARLEY_PLANTED_BUG("copy_whole_without_its_rows") ||
            std::all_of(tables.begin(), tables.end(),
                        [](const std::unique_ptr<TableCopy>& table) { return table->IsWhole(); }));
  }
  const Optimizer& OptimizerOf(size_t block) const {
    return *optimizers[job.blocks()[dense[block]].parameter];
  }
  // The round that all of its blocks have which take part in norms.
  int64_t NormVersion() const {
    int64_t version = -1;
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (!norm_plan.TakesPart(job.blocks()[dense[i]].parameter)) continue;
      const int64_t of_block = books.blocks()[i].version;
      version = version < 0 ? of_block : std::min(version, of_block);
    }
    return std::max<int64_t>(version, 0);
  }
  // The index of block or table `number` of the job in the books, or of the end.
  size_t Find(uint32_t number) const {
    const auto at = std::lower_bound(books.numbers().begin(), books.numbers().end(), number);
    const bool found = at != books.numbers().end() && *at == number;
    return static_cast<size_t>((found ? at : books.numbers().end()) - books.numbers().begin());
  }
  int64_t TableMemory() const {
    int64_t bytes = 0;
    for (const std::unique_ptr<TableCopy>& table : tables) bytes += table->table().memory();
    return bytes;
  }

  const Job job;
  const NormPlan norm_plan;
  v1::Books identity;  // spec, checkpoint and log_id
  ShardBooks books;
  const std::vector<uint32_t> dense;                   // the blocks among the books' numbers
  NormRounds norms;                                    // of the blocks that are there
  std::vector<std::unique_ptr<Optimizer>> optimizers;  // by parameter
  std::vector<std::unique_ptr<Block>> blocks;          // null: not there yet
  std::vector<std::unique_ptr<TableCopy>> tables;      // behind them in the books
  int64_t bytes = 0;                                   // that the blocks need
  uint64_t term = 0;
  uint64_t stream = 0;
  uint64_t next = 1;  // the number of its next record

  // What is being given back of a table.
  struct Giving {
    size_t part = 0;
    size_t virtual_shard = 0;         // the next, by index
    std::deque<ShardRecord> records;  // that were made and are not given yet
    ShardRecord last;                 // that was given at place - 1
    bool had_more = true;             // behind that
    int64_t place = 0;                // how many were given
  };
  std::map<size_t, Giving> giving;  // by index in `tables`
};

Standby::Kept::Kept() = default;
Standby::Kept::~Kept() = default;

Standby::Standby(Options options)
    : options_(std::move(options)), thread_(std::make_unique<TaskThread>()) {}

Standby::~Standby() { thread_.reset(); }

void Standby::Replicate(v1::ReplicateRequest request, Payload payload,
                        ParameterServer::Done<v1::ReplicateResponse> done) {
  thread_->Post([this, request = std::move(request), payload = std::move(payload),
                 done = std::move(done)]() mutable { done(Take(request, payload)); });
}

void Standby::FetchReplica(v1::FetchReplicaRequest request,
                           ParameterServer::Done<ParameterServer::FetchReplicaReply> done) {
  thread_->Post([this, request = std::move(request), done = std::move(done)]() mutable {
    done(Give(request));
  });
}

void Standby::RunOnThread(absl::AnyInvocable<void()> task) {
  std::promise<void> done;
  thread_->Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

bool Standby::Freeze(int shard, uint64_t term) {
  bool frozen = false;
  RunOnThread([&] {
    Kept& kept = kept_[shard];
    if (kept.whole == nullptr) return;
    if (kept.whole->term != term && kept.whole->term + 1 != term &&
        !PARLEY_PLANTED_BUG("taken_over_with_a_copy_of_another_term")) {
      return;
    }
    kept.frozen = true;
    frozen = true;
  });
  return frozen;
}

void Standby::Thaw(int shard) {
  RunOnThread([&] { kept_[shard].frozen = false; });
}

absl::optional<ShardCopy> Standby::Release(int shard, uint64_t term) {
  absl::optional<ShardCopy> taken;
  RunOnThread([&] {
    Kept& kept = kept_[shard];
    if (!PARLEY_PLANTED_BUG("earlier_leader_not_fenced_off")) kept.term = std::max(kept.term, term);
    kept.frozen = false;
    kept.filling = nullptr;
    if (kept.whole != nullptr) {
      std::vector<std::vector<NormRounds::BlockSums>> sums;
      for (size_t i = 0; i < kept.whole->blocks.size(); ++i) {
        sums.push_back(kept.whole->norms.SumsOfBlock(i, kept.whole->books.blocks()[i].version));
      }
      taken.emplace(ShardCopy{std::move(kept.whole->identity),
                              std::move(kept.whole->books),
                              std::move(kept.whole->blocks),
                              std::move(sums),
                              {}});
      for (const std::unique_ptr<TableCopy>& table : kept.whole->tables) {
        taken->tables.push_back(table->Release());
      }
      kept.whole = nullptr;
    }
  });
  return taken;
}

void Standby::Discard(int shard, uint64_t term) {
  RunOnThread([&] {
    Kept& kept = kept_[shard];
    for (std::unique_ptr<Copy>* const copy : {&kept.whole, &kept.filling}) {
      if (*copy != nullptr && (*copy)->term <= term) *copy = nullptr;
    }
    if (kept.whole == nullptr && kept.filling == nullptr) Forget(shard);
  });
}

void Standby::Forget(int shard) {
  MutexLock lock(&mutex_);
  seen_.erase(shard);
}

bool Standby::IsDone(absl::Duration silence) const {
  MutexLock lock(&mutex_);
  const absl::Time now = options_.env->Now();
  return std::all_of(seen_.begin(), seen_.end(), [&](const auto& seen) {
    return seen.second.all_left || now >= seen.second.last_heard + silence;
  });
}

absl::StatusOr<v1::ReplicateResponse> Standby::Take(const v1::ReplicateRequest& request,
                                                    const Payload& payload) {
  const std::string who = absl::StrCat(options_.task, ": the copy of ps:", request.shard());
  if (request.shard() < 0 || request.shard() >= kMaxShards || request.stream() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": no such shard or stream"));
  }
  Kept& kept = kept_[request.shard()];
  if (request.term() < kept.term && !PARLEY_PLANTED_BUG("superseded_term_acknowledged")) {
    return absl::AbortedError(
        absl::StrCat(who, ": another task has taken over, of term ", kept.term));
  }
  if (kept.frozen && !PARLEY_PLANTED_BUG("copy_changes_while_it_is_taken_over")) {
    return absl::UnavailableError(absl::StrCat(who, ": this task is about to take over"));
  }
  kept.term = request.term();
  if (request.ends()) return Drop(request, &kept);
  const bool begins =
      request.first() == 0 && request.records_size() > 0 && request.records(0).has_begin();
  const auto of_stream = [&](const std::unique_ptr<Copy>& copy) {
    return copy != nullptr && copy->stream == request.stream();
  };
  if (begins && !of_stream(kept.whole) && !of_stream(kept.filling) && !Adopt(request, &kept)) {
    absl::StatusOr<std::unique_ptr<Copy>> begun = BeginCopy(request);
    if (!begun.ok()) return Annotate(begun.status(), who);
    kept.filling = *std::move(begun);
  }
  std::unique_ptr<Copy>& copy = of_stream(kept.filling) ? kept.filling : kept.whole;
  if (!of_stream(copy) || request.first() > copy->next) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, ": records from ", request.first(), " on do not follow"));
  }
  if (const absl::Status taken = TakeRecords(request, payload, copy.get()); !taken.ok()) {
    copy = nullptr;  // it would not be what the shard is
    return Annotate(absl::FailedPreconditionError(taken.message()), who);
  }
  Seen seen{options_.env->Now()};
  const std::vector<ShardBooks::Worker>& workers = copy->books.workers();
  seen.all_left = std::all_of(workers.begin(), workers.end(), [](const ShardBooks::Worker& worker) {
    return worker.presence == v1::Books::LEFT;
  });
  if (&copy == &kept.filling && copy->IsWhole()) {
    copy->norms.ForgetUnknown(copy->NormVersion());
    kept.whole = std::move(kept.filling);
  }
  v1::ReplicateResponse response;
  response.set_complete(of_stream(kept.whole) || PARLEY_PLANTED_BUG("copy_whole_before_it_is"));
  response.set_keeper(options_.start);
  MutexLock lock(&mutex_);
  seen_[request.shard()] = seen;
  return response;
}

bool Standby::Adopt(const v1::ReplicateRequest& request, Kept* kept) const {
  if (!request.adopts() || kept->whole == nullptr || kept->whole->term + 1 != request.term()) {
    return false;
  }
  v1::Books books = kept->whole->books.ToProto();
  books.MergeFrom(kept->whole->identity);
  if (books.SerializeAsString() != request.records(0).begin().books().SerializeAsString() &&
      !PARLEY_PLANTED_BUG("another_copy_adopted")) {
    return false;
  }
  kept->whole->term = request.term();
  kept->whole->stream = request.stream();
  kept->whole->next = 1;
  kept->filling = nullptr;
  return true;
}

v1::ReplicateResponse Standby::Drop(const v1::ReplicateRequest& request, Kept* kept) {
  for (std::unique_ptr<Copy>* const copy : {&kept->whole, &kept->filling}) {
    if (*copy != nullptr && (*copy)->stream == request.stream()) *copy = nullptr;
  }
  v1::ReplicateResponse response;
  response.set_keeper(options_.start);
  if (kept->whole != nullptr || kept->filling != nullptr) return response;
  MutexLock lock(&mutex_);
  seen_.erase(request.shard());
  return response;
}

absl::StatusOr<std::unique_ptr<Standby::Copy>> Standby::BeginCopy(
    const v1::ReplicateRequest& request) const {
  const v1::Books& books = request.records(0).begin().books();
  PARLEY_ASSIGN_OR_RETURN(Job job, Job::Create(books.spec()));
  if (request.shard() >= job.spec().num_shards()) {
    return absl::InvalidArgumentError("the job has no such shard");
  }
  PARLEY_ASSIGN_OR_RETURN(ShardBooks made, ShardBooks::FromProto(job, request.shard(), books));
  auto copy = std::make_unique<Copy>(std::move(job), std::move(made));
  copy->identity.mutable_spec()->CopyFrom(books.spec());
  copy->identity.set_checkpoint(books.checkpoint());
  copy->identity.set_log_id(books.log_id());
  copy->term = request.term();
  copy->stream = request.stream();
  for (size_t i = 0; i < copy->job.parameters().size(); ++i) {
    PARLEY_ASSIGN_OR_RETURN(
        std::unique_ptr<Optimizer> optimizer,
        NewOptimizer(copy->job.OptimizerOf(static_cast<int>(i)), options_.optimizers));
    copy->optimizers.push_back(std::move(optimizer));
  }
  // Two copies of the values, of which one is being written, and the slots.
  for (size_t i = 0; i < copy->blocks.size(); ++i) {
    copy->bytes += copy->job.blocks()[copy->dense[i]].size * static_cast<int64_t>(sizeof(float)) *
                   (2 + copy->OptimizerOf(i).num_slots());
  }
  const int64_t needed = copy->bytes + std::max<int64_t>(0, request.table_bytes());
  if (needed > MemoryLimit()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it needs ", needed, " bytes here, the limit is ", MemoryLimit()));
  }
  for (int i = 0; i < copy->job.spec().tables_size(); ++i) {
    const size_t index = copy->blocks.size() + static_cast<size_t>(i);
    PARLEY_ASSIGN_OR_RETURN(
        std::unique_ptr<TableCopy> table,
        TableCopy::Create(copy->job, i, request.shard(), options_.table_parts,
                          copy->books.blocks()[index].version, options_.spill_folder));
    copy->tables.push_back(std::move(table));
  }
  return copy;
}

int64_t Standby::MemoryLimit() const {
  return options_.memory_limit > 0 ? options_.memory_limit : MachineMemory();
}

absl::Status Standby::TakeRecords(const v1::ReplicateRequest& request, const Payload& payload,
                                  Copy* copy) const {
  if (request.payload_bytes_size() != request.records_size()) {
    return absl::InvalidArgumentError("the payloads of its records have no lengths");
  }
  PayloadReader reader(payload);
  for (int i = 0; i < request.records_size(); ++i) {
    const v1::LogRecord& record = request.records(i);
    if (request.payload_bytes(i) > reader.left()) {
      return absl::InvalidArgumentError("its payload is too short");
    }
    const Payload part = reader.Take(request.payload_bytes(i));
    const uint64_t number = request.first() + static_cast<uint64_t>(i);
    const bool is_there = number < copy->next;
    if (is_there && (number == 0 || !PARLEY_PLANTED_BUG("standby_takes_a_record_twice"))) continue;
    PARLEY_RETURN_IF_ERROR(TakeRecord(record, part, copy));
    ++copy->next;
  }
  // What a table had more than this when the copy began was known then.
  const int64_t memory = copy->bytes + copy->TableMemory();
  if (memory > MemoryLimit() + MemoryLimit() / 8) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it has grown to ", memory, " bytes here, the limit is ", MemoryLimit()));
  }
  return absl::OkStatus();
}

absl::Status Standby::TakeRecord(const v1::LogRecord& record, const Payload& payload,
                                 Copy* copy) const {
  if (record.has_table_state()) {
    const size_t index = copy->Find(record.table_state().block());
    if (index < copy->blocks.size() || index == copy->books.numbers().size()) {
      return absl::DataLossError("there is no such table");
    }
    return copy->tables[index - copy->blocks.size()]->TakeState(record.table_state(), payload);
  }
  if (record.has_block_state()) {
    const size_t index = copy->Find(record.block_state().block());
    if (index >= copy->blocks.size() ||
        (record.block_state().version() != copy->books.blocks()[index].version &&
         !PARLEY_PLANTED_BUG("state_of_a_block_out_of_its_turn"))) {
      return absl::DataLossError("the state of a block does not follow");
    }
    PARLEY_ASSIGN_OR_RETURN(copy->blocks[index],
                            BlockOf(copy->job, copy->OptimizerOf(index), record.block_state(),
                                    payload, options_.arena));
    return copy->norms.Take(index, NormSumsOf(record.block_state()));
  }
  PARLEY_RETURN_IF_ERROR(copy->books.Take(record));
  if (!record.has_round()) return absl::OkStatus();
  const v1::LogRecord::Round& round = record.round();
  const size_t index = copy->Find(round.block());
  if (index >= copy->blocks.size()) {
    return copy->tables[index - copy->blocks.size()]->TakeRound(round, payload);
  }
  const int parameter = copy->job.blocks()[round.block()].parameter;
  if (round.sums_size() != copy->norm_plan.NumSums(parameter, round.version())) {
    return absl::DataLossError("a round has not the sums of its optimizer");
  }
  if (copy->blocks[index] == nullptr) return absl::OkStatus();
  if (round.sums_size() > 0) {
    PARLEY_RETURN_IF_ERROR(
        copy->norms.Take(index, {{round.version(), {round.sums().begin(), round.sums().end()}}}));
  }
  return ReplayRound(copy->OptimizerOf(index), round, payload, copy->blocks[index].get());
}

absl::StatusOr<ParameterServer::FetchReplicaReply> Standby::Give(
    const v1::FetchReplicaRequest& request) {
  if (request.shard() < 0 || request.shard() >= kMaxShards || request.piece() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(options_.task, ": no such shard or piece"));
  }
  Kept& kept = kept_[request.shard()];
  ParameterServer::FetchReplicaReply reply;
  if (request.piece() == 0) ++kept.term;
  reply.response.set_term(kept.term);
  if (kept.whole == nullptr) {
    if (request.piece() == 0) return reply;
    return absl::NotFoundError(
        absl::StrCat(options_.task, ": it has no copy of ps:", request.shard()));
  }
  if (request.piece() == 0) {
    *reply.response.mutable_books() = kept.whole->books.ToProto();
    reply.response.mutable_books()->MergeFrom(kept.whole->identity);
    for (v1::Books::Worker& worker : *reply.response.mutable_books()->mutable_workers()) {
      if (PARLEY_PLANTED_BUG("copy_forgets_what_was_taken")) worker.clear_taken();
    }
    return reply;
  }
  const size_t index = static_cast<size_t>(request.piece() - 1);
  if (index >= kept.whole->books.numbers().size()) {
    return absl::InvalidArgumentError(absl::StrCat(options_.task, ": there is no such block"));
  }
  if (index >= kept.whole->blocks.size()) {
    PARLEY_RETURN_IF_ERROR(
        Annotate(GiveRows(request, index, kept.whole.get(), &reply),
                 absl::StrCat(options_.task, ": the copy of ps:", request.shard())));
    return reply;
  }
  *reply.response.mutable_block_state() =
      StateOf(kept.whole->books.numbers()[index], *kept.whole->blocks[index], &reply.payload);
  SetNormSums(kept.whole->norms.SumsOfBlock(index, reply.response.block_state().version()),
              reply.response.mutable_block_state());
  return reply;
}

absl::Status Standby::GiveRows(const v1::FetchReplicaRequest& request, size_t index, Copy* copy,
                               ParameterServer::FetchReplicaReply* reply) const {
  const ShardTable& table = copy->tables[index - copy->blocks.size()]->table();
  Copy::Giving& giving = copy->giving[index - copy->blocks.size()];
  if (request.place() == 0) giving = Copy::Giving();
  if (request.place() == giving.place) {
    while (giving.records.empty() && giving.part < table.num_parts()) {
      const size_t end = table.virtual_shards(giving.part).size();
      PARLEY_ASSIGN_OR_RETURN(std::vector<ShardRecord> made,
                              TableStateOf(table, copy->books.numbers()[index], giving.part,
                                           &giving.virtual_shard, end));
      std::move(made.begin(), made.end(), std::back_inserter(giving.records));
      if (giving.virtual_shard < end) continue;
      ++giving.part;
      giving.virtual_shard = 0;
    }
    giving.had_more = !giving.records.empty();
    giving.last = ShardRecord();
    if (giving.had_more) {
      giving.last = std::move(giving.records.front());
      giving.records.pop_front();
    }
    ++giving.place;
  } else if (request.place() + 1 != giving.place) {
    return absl::InvalidArgumentError(absl::StrCat("table ", table.name(), " is at place ",
                                                   giving.place, ", not ", request.place()));
  }
  // The last answer has no rows: it says that there are no more.
  *reply->response.mutable_table_state() = giving.last.record.table_state();
  reply->response.set_more(giving.had_more);
  reply->payload = giving.last.payload;
  return absl::OkStatus();
}

}  // namespace parley
