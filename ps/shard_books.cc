#include "ps/shard_books.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"

namespace parley {
namespace {

absl::Status DoesNotFollow(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("a record does not follow on those before it: ", what));
}

template <typename Field>
std::vector<int64_t> ToVector(const Field& field) {
  return {field.begin(), field.end()};
}

}  // namespace

std::vector<uint32_t> ShardBooks::NumbersOf(const Job& job, int shard_index) {
  std::vector<uint32_t> numbers = job.BlocksOfShard(shard_index);
  for (int i = 0; i < job.spec().tables_size(); ++i) numbers.push_back(job.BlockOfTable(i));
  return numbers;
}

ShardBooks::ShardBooks(int shard_index, std::vector<uint32_t> numbers, const WorkerCounts& counts)
    : shard_index_(shard_index),
      numbers_(std::move(numbers)),
      workers_(static_cast<size_t>(counts.last())),
      blocks_(numbers_.size()),
      counts_(counts) {
  for (size_t i = 0; i < numbers_.size(); ++i) {
    index_[numbers_[i]] = i;
    blocks_[i].members = counts.last();
  }
}

ShardBooks::ShardBooks(int shard_index, std::vector<uint32_t> blocks,
                       const std::vector<int64_t>& versions,
                       const std::vector<std::vector<int64_t>>& clocks, const WorkerCounts& counts)
    : ShardBooks(shard_index, std::move(blocks), counts) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    Block& block = blocks_[i];
    block.version = versions[i];
    block.clocks = clocks[i];
    if (block.clocks.empty()) block.clocks.assign(workers_.size(), versions[i]);
    block.taken_below = block.clocks;
  }
}

bool ShardBooks::Resize(size_t workers) {
  if (workers > WorkerCounts::kMaxWorkers) return false;
  if (workers <= workers_.size()) return true;
  workers_.resize(workers);
  for (Block& block : blocks_) {
    block.clocks.resize(workers);
    block.taken_below.resize(workers);
  }
  return true;
}

absl::StatusOr<ShardBooks> ShardBooks::FromProto(const Job& job, int shard_index,
                                                 const v1::Books& proto) {
  const absl::StatusOr<WorkerCounts> counts =
      WorkerCounts::FromProto(job.spec().num_workers(), proto.worker_counts());
  ShardBooks books(shard_index, NumbersOf(job, shard_index),
                   counts.ok() ? *counts : WorkerCounts(job.spec().num_workers()));
  const size_t num_workers = static_cast<size_t>(proto.workers_size());
  bool whole = counts.ok() && proto.shard_index() == shard_index &&
               num_workers >= books.workers_.size() && books.Resize(num_workers) &&
               proto.blocks_size() == static_cast<int>(books.blocks_.size());
  for (int i = 0; whole && i < proto.blocks_size(); ++i) {
    const v1::Books::Block& from = proto.blocks(i);
    Block& block = books.blocks_[static_cast<size_t>(i)];
    block.version = from.version();
    block.clocks = ToVector(from.clocks());
    block.taken_below = ToVector(from.taken_below());
    block.members = from.workers() == 0 ? job.spec().num_workers() : from.workers();
    whole = block.members >= 1 && block.members <= proto.workers_size() &&
            from.block() == books.numbers_[static_cast<size_t>(i)] && block.version >= 0 &&
            block.clocks.size() == num_workers && block.taken_below.size() == num_workers;
  }
  for (int i = 0; whole && i < proto.workers_size(); ++i) {
    const v1::Books::Worker& from = proto.workers(i);
    Worker& worker = books.workers_[static_cast<size_t>(i)];
    worker.presence = from.presence();
    worker.incarnation = from.incarnation();
    worker.oldest_sequence = from.oldest_sequence();
    for (const v1::Books::Taken& taken : from.taken()) {
      worker.taken[taken.sequence()] = {taken.blocks().begin(), taken.blocks().end()};
    }
  }
  if (!whole) {
    return absl::DataLossError(
        absl::StrCat("the books are not those of ps:", shard_index, " in job ", job.name()));
  }
  return books;
}

v1::Books ShardBooks::ToProto() const {
  v1::Books proto;
  proto.set_shard_index(shard_index_);
  for (const Worker& worker : workers_) {
    v1::Books::Worker* const to = proto.add_workers();
    to->set_presence(worker.presence);
    to->set_incarnation(worker.incarnation);
    to->set_oldest_sequence(worker.oldest_sequence);
    for (const auto& [sequence, blocks] : worker.taken) {
      v1::Books::Taken* const taken = to->add_taken();
      taken->set_sequence(sequence);
      taken->mutable_blocks()->Add(blocks.begin(), blocks.end());
    }
  }
  counts_.ToProto(proto.mutable_worker_counts());
  for (size_t i = 0; i < blocks_.size(); ++i) {
    v1::Books::Block* const to = proto.add_blocks();
    to->set_block(numbers_[i]);
    to->set_version(blocks_[i].version);
    to->mutable_clocks()->Add(blocks_[i].clocks.begin(), blocks_[i].clocks.end());
    to->set_workers(blocks_[i].members);
    to->mutable_taken_below()->Add(blocks_[i].taken_below.begin(), blocks_[i].taken_below.end());
  }
  return proto;
}

absl::Status ShardBooks::Take(const v1::LogRecord& record) {
  switch (record.kind_case()) {
    case v1::LogRecord::kMember:
      return TakeMember(record.member());
    case v1::LogRecord::kRound:
      return TakeRound(record.round());
    case v1::LogRecord::kBlockState:
    case v1::LogRecord::kTableState:
      return absl::OkStatus();  // the books have its version
    default:
      return DoesNotFollow("it is of an unknown kind");
  }
}

absl::Status ShardBooks::TakeMember(const v1::LogRecord::Member& member) {
  const size_t index = static_cast<size_t>(member.worker());
  const bool known =
      member.clocks_size() == 0 || member.clocks_size() == static_cast<int>(blocks_.size());
  if (member.worker() < 0 || !known || !Resize(index + 1)) {
    return DoesNotFollow(absl::StrCat("worker:", member.worker(), " is not in the job"));
  }
  Worker& worker = workers_[index];
  if (member.incarnation() > worker.incarnation) {
    worker.incarnation = member.incarnation();
    worker.taken.clear();
    worker.oldest_sequence = 1;
    for (Block& block : blocks_) {
      if (PARLEY_PLANTED_BUG("books_forget_the_steps_of_an_earlier_start")) break;
      block.taken_below[index] = std::max(block.taken_below[index], block.clocks[index]);
    }
  }
  if (member.incarnation() < worker.incarnation) return absl::OkStatus();  // said by an earlier one
  for (int i = 0; i < member.clocks_size(); ++i) {
    int64_t& clock = blocks_[static_cast<size_t>(i)].clocks[index];
    clock = std::max(clock, member.clocks(i));
  }
  worker.presence = member.presence();
  return absl::OkStatus();
}

absl::Status ShardBooks::TakeRound(const v1::LogRecord::Round& round) {
  const auto found = index_.find(round.block());
  if (found == index_.end()) {
    return DoesNotFollow(absl::StrCat("block ", round.block(), " is not in the shard"));
  }
  Block& block = blocks_[found->second];
  if (round.version() != block.version + 1) {
    return DoesNotFollow(absl::StrCat("block ", round.block(), " is at version ", block.version,
                                      ", the round is ", round.version()));
  }
  bool known = Resize(static_cast<size_t>(round.clocks_size()));
  for (const v1::LogRecord::Contribution& part : round.contributions()) {
    known = known && part.worker() >= 0 && part.worker() < static_cast<int>(workers_.size());
  }
  if (known && round.has_workers()) {
    const size_t before = static_cast<size_t>(counts_.last());
    known = counts_.Add(round.workers().from_step(), round.workers().count()).ok() &&
            Resize(static_cast<size_t>(round.workers().count()));
    for (size_t worker = before; worker < static_cast<size_t>(counts_.last()); ++worker) {
      // As ShardState has it.
      if (workers_[worker].presence == v1::Books::LEFT) {
        workers_[worker].presence = v1::Books::ABSENT;
      }
    }
  }
  if (!known) return DoesNotFollow("its workers are not those of the job");
  if (round.has_workers() && !PARLEY_PLANTED_BUG("books_forget_how_many_workers_there_are")) {
    block.members = round.workers().count();
  }
  block.version = round.version();
  // A round may have been closed before a worker came back, and kept after that.
  for (int i = 0; i < round.clocks_size(); ++i) {
    int64_t& clock = block.clocks[static_cast<size_t>(i)];
    clock = std::max(clock, round.clocks(i));
  }
  for (const v1::LogRecord::Contribution& part : round.contributions()) {
    const size_t index = static_cast<size_t>(part.worker());
    Worker& worker = workers_[index];
    if (part.incarnation() != worker.incarnation &&
        !PARLEY_PLANTED_BUG("books_mistake_an_earlier_start_for_this_one")) {
      // Of an earlier one, whose gradient stood in the open round when the new one came.
      block.taken_below[index] = std::max(block.taken_below[index], block.clocks[index]);
      continue;
    }
    worker.taken[part.sequence()].push_back(round.block());
    while (worker.taken.size() > kRemembered) {
      worker.oldest_sequence = std::max(worker.oldest_sequence, worker.taken.begin()->first + 1);
      worker.taken.erase(worker.taken.begin());
    }
  }
  return absl::OkStatus();
}

}  // namespace parley
