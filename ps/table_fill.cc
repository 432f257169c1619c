#include "ps/table_fill.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "base/planted_bug.h"
#include "glog/logging.h"
#include "ps/table_state.h"

namespace parley {
namespace {

constexpr int kPieces = 2;  // of a part: one is on its way while the next one is made

}  // namespace

// Outlives the fill with the last piece that somebody holds.
struct TableFill::Shared {
  // Has the part's queue make pieces, as many as may be.
  void PostPieces(size_t part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  Mutex mutex;
  TableFill* fill ABSL_GUARDED_BY(mutex) = nullptr;  // null: it was stopped
  std::vector<Part> parts ABSL_GUARDED_BY(mutex);
  std::vector<int64_t> recorded ABSL_GUARDED_BY(mutex);              // by table
  std::vector<std::vector<Waiting>> waiting ABSL_GUARDED_BY(mutex);  // by table, for its record
};

// Goes with what was appended of a piece.
class TableFill::Ticket {
 public:
  Ticket(std::shared_ptr<Shared> shared, size_t part) : shared_(std::move(shared)), part_(part) {}
  ~Ticket() {
    MutexLock lock(&shared_->mutex);
    if (shared_->fill == nullptr) return;
    --shared_->parts[part_].pieces;
    shared_->PostPieces(part_);
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

 private:
  const std::shared_ptr<Shared> shared_;
  const size_t part_;
};

TableFill::TableFill(std::vector<Table> tables, std::vector<TaskQueue*> queues,
                     absl::AnyInvocable<void(std::vector<ShardRecord>)> append)
    : tables_(std::move(tables)),
      queues_(std::move(queues)),
      append_(std::move(append)),
      shared_(std::make_shared<Shared>()) {
  MutexLock lock(&shared_->mutex);
  shared_->fill = this;
  shared_->parts.resize(queues_.size());
  for (size_t part = 0; part < queues_.size(); ++part) {
    for (const Table& table : tables_) {
      shared_->parts[part].count += table.table->virtual_shards(part).size();
    }
  }
  for (const Table& table : tables_) shared_->recorded.push_back(table.table->version(0));
  shared_->waiting.resize(tables_.size());
}

TableFill::~TableFill() {
  std::vector<std::vector<Waiting>> waiting;  // whose tickets want the mutex
  MutexLock lock(&shared_->mutex);
  waiting.swap(shared_->waiting);
}

void TableFill::Stop() {
  MutexLock lock(&shared_->mutex);
  shared_->fill = nullptr;
}

void TableFill::Begin() {
  MutexLock lock(&shared_->mutex);
  if (shared_->fill == nullptr) return;
  for (size_t part = 0; part < queues_.size(); ++part) {
    shared_->parts[part].left = shared_->parts[part].count;
    shared_->PostPieces(part);
  }
}

void TableFill::Shared::PostPieces(size_t part) {
  Part& of = parts[part];
  for (; of.pieces < kPieces && of.left > 0; ++of.pieces) {
    fill->queues_[part]->Post([to = fill, part] { to->SendPiece(part); });
  }
}

void TableFill::SendPiece(size_t part) {
  const auto ticket = std::make_shared<Ticket>(shared_, part);
  size_t number;
  size_t begin;
  size_t end;
  {
    MutexLock lock(&shared_->mutex);
    Part& of = shared_->parts[part];
    if (of.left == 0) return;
    while (of.next == tables_[of.table].table->virtual_shards(part).size()) {
      of.table = (of.table + 1) % tables_.size();
      of.next = 0;
    }
    number = of.table;
    begin = of.next;
    end = std::min(begin + of.left, tables_[number].table->virtual_shards(part).size());
  }
  // Only this queue moves the part on.
  const ShardTable& table = *tables_[number].table;
  size_t next = begin;
  absl::StatusOr<std::vector<ShardRecord>> records =
      TableStateOf(table, tables_[number].block, part, &next, end, ticket);
  const int64_t version = table.version(part);
  {
    MutexLock lock(&shared_->mutex);
    Part& of = shared_->parts[part];
    if (!records.ok()) {
      LOG(ERROR) << "no copy of table " << table.name() << ": " << records.status().message();
      of.left = 0;
      return;
    }
    of.next = next;
    of.left -= std::min(of.left, next - begin);
    if (shared_->recorded[number] < version &&
        !PARLEY_PLANTED_BUG("rows_sent_before_the_round_that_they_have")) {
      shared_->waiting[number].push_back({version, *std::move(records)});
      return;
    }
  }
  append_(*std::move(records));
}

void TableFill::Recorded(size_t table, int64_t version) {
  std::vector<std::vector<ShardRecord>> now;
  {
    MutexLock lock(&shared_->mutex);
    shared_->recorded[table] = version;
    std::vector<Waiting>& waiting = shared_->waiting[table];
    const auto later =
        std::stable_partition(waiting.begin(), waiting.end(),
                              [&](const Waiting& each) { return each.version > version; });
    for (auto each = later; each != waiting.end(); ++each) now.push_back(std::move(each->records));
    waiting.erase(later, waiting.end());
  }
  for (std::vector<ShardRecord>& records : now) append_(std::move(records));
}

}  // namespace parley
