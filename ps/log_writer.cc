#include "ps/log_writer.h"

#include <utility>

#include "absl/time/time.h"
#include "base/file.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "glog/logging.h"
#include "ps/log_format.h"

namespace parley {
namespace {

constexpr absl::Duration kTryAgainAfter = absl::Milliseconds(200);

}  // namespace

LogWriter::LogWriter(Options options, v1::Books identity, ShardBooks books)
    : options_(std::move(options)), identity_(std::move(identity)), books_(std::move(books)) {}

absl::StatusOr<std::unique_ptr<LogWriter>> LogWriter::Create(Options options, v1::Books identity,
                                                             ShardBooks books, uint64_t segment,
                                                             int64_t previous_bytes) {
  std::unique_ptr<LogWriter> writer(
      new LogWriter(std::move(options), std::move(identity), std::move(books)));
  const absl::Status begun = writer->Begin(segment, previous_bytes);
  const bool waits = absl::IsResourceExhausted(begun) && writer->options_.may_wait_for_room;
  if (!begun.ok() && !waits) return begun;
  {
    MutexLock lock(&writer->mutex_);
    writer->next_segment_ = segment + 1;
  }
  writer->thread_ = std::thread([writer = writer.get(), previous_bytes,
                                 later = waits ? absl::make_optional(segment) : absl::nullopt] {
    writer->Run(later, previous_bytes);
  });
  return writer;
}

LogWriter::~LogWriter() { Close(); }

void LogWriter::Close() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void LogWriter::Append(std::vector<ShardRecord> records, absl::AnyInvocable<void()> kept) {
  {
    MutexLock lock(&mutex_);
    for (const ShardRecord& record : records) appended_ += record.payload.size();
    items_.push_back({std::move(records), std::move(kept), 0, 0});
    if (appended_ >= kLongSegment) RollLocked();
  }
  changed_.NotifyAll();
}

uint64_t LogWriter::Roll() {
  uint64_t segment;
  {
    MutexLock lock(&mutex_);
    segment = RollLocked();
  }
  changed_.NotifyAll();
  return segment;
}

uint64_t LogWriter::RollLocked() {
  appended_ = 0;
  items_.push_back({{}, nullptr, next_segment_, 0});
  return next_segment_++;
}

void LogWriter::RemoveBefore(uint64_t segment) {
  {
    MutexLock lock(&mutex_);
    items_.push_back({{}, nullptr, 0, segment});
  }
  changed_.NotifyAll();
}

void LogWriter::Run(absl::optional<uint64_t> segment, int64_t previous_bytes) {
  absl::Status status;
  if (segment.has_value()) {
    status = WhenThereIsRoom([&] { return Begin(*segment, previous_bytes); });
  }
  for (;;) {
    if (!status.ok()) {
      if (!absl::IsCancelled(status)) options_.failed(status);
      break;
    }
    std::vector<Item> items;
    {
      MutexLock lock(&mutex_);
      while (items_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (items_.empty()) return;
      items.swap(items_);
    }
    status = Process(&items);
  }
  // Nothing is acknowledged any more.
  for (;;) {
    std::vector<Item> dropped;  // who waits hears it outside the lock
    MutexLock lock(&mutex_);
    dropped.swap(items_);
    if (stopping_) return;
    if (dropped.empty()) changed_.Wait(&mutex_);
  }
}

absl::Status LogWriter::Process(std::vector<Item>* items) {
  for (size_t begin = 0; begin < items->size();) {
    size_t end = begin;
    while (end < items->size() && (*items)[end].roll == 0) ++end;
    PARLEY_RETURN_IF_ERROR(Keep(absl::MakeSpan(*items).subspan(begin, end - begin)));
    if (end < items->size()) {
      const uint64_t segment = (*items)[end].roll;
      PARLEY_RETURN_IF_ERROR(file_->Close());
      const int64_t previous_bytes = bytes_;
      PARLEY_RETURN_IF_ERROR(WhenThereIsRoom([&] { return Begin(segment, previous_bytes); }));
    }
    begin = end + 1;
  }
  return absl::OkStatus();
}

absl::Status LogWriter::Keep(absl::Span<Item> items) {
  bool any = false;
  for (const Item& item : items) any = any || !item.records.empty();
  if (any) {
    const int64_t before = bytes_;
    PARLEY_RETURN_IF_ERROR(WhenThereIsRoom([&] { return AppendRecords(items); }));
    const absl::Time started = options_.env->Now();
    absl::Status synced = PARLEY_PLANTED_BUG("log_not_synced") ? absl::OkStatus() : file_->Sync();
    if (PARLEY_PLANTED_BUG("failed_sync_retried") && !synced.ok()) synced = file_->Sync();
    if (!synced.ok()) return Annotate(absl::DataLossError(synced.message()), "the log");
    if (options_.synced) options_.synced(options_.env->Now() - started, bytes_ - before);
  }
  for (Item& item : items) {
    for (const ShardRecord& record : item.records) {
      PARLEY_RETURN_IF_ERROR(books_.Take(record.record));
    }
    if (item.remove_before != 0) RemoveSegmentsBefore(item.remove_before);
    if (item.kept) item.kept();
    item = Item();  // the gradients are not needed further
  }
  return absl::OkStatus();
}

absl::Status LogWriter::AppendRecords(absl::Span<const Item> items) {
  const int64_t durable = bytes_;
  absl::Status status;
  int64_t bytes = durable;
  const auto append = [&](const void* data, size_t size) {
    if (status.ok()) status = file_->Append(data, size);
    bytes += static_cast<int64_t>(size);
  };
  for (const Item& item : items) {
    for (const ShardRecord& record : item.records) {
      const std::string head = EncodeLogRecord(record.record, record.payload, durable);
      append(head.data(), head.size());
      for (const Payload::Slice& slice : record.payload.slices()) append(slice.data, slice.size);
    }
  }
  if (status.ok()) {
    bytes_ = bytes;
    return status;
  }
  if (PARLEY_PLANTED_BUG("half_a_record_left_behind")) return status;
  const absl::Status truncated = file_->Truncate(durable);
  return truncated.ok() ? status : absl::DataLossError(truncated.message());
}

absl::Status LogWriter::Begin(uint64_t segment, int64_t previous_bytes) {
  ShardRecord record;
  v1::LogRecord::Begin* const begin = record.record.mutable_begin();
  *begin->mutable_books() = books_.ToProto();
  begin->mutable_books()->MergeFrom(identity_);
  for (v1::Books::Worker& worker : *begin->mutable_books()->mutable_workers()) {
    if (PARLEY_PLANTED_BUG("log_forgets_what_was_taken")) worker.clear_taken();
  }
  begin->set_segment(segment);
  begin->set_previous_bytes(static_cast<uint64_t>(previous_bytes));
  const std::string head = EncodeLogRecord(record.record, record.payload, 0);

  PARLEY_RETURN_IF_ERROR(options_.env->CreateFolders(options_.folder));
  const std::string path = JoinPath(options_.folder, LogSegmentName(segment));
  PARLEY_ASSIGN_OR_RETURN(file_, options_.env->NewWritableFile(path));
  PARLEY_RETURN_IF_ERROR(file_->Append(head.data(), head.size()));
  absl::Status synced = file_->Sync();
  const bool syncs_folder = !PARLEY_PLANTED_BUG("new_segment_without_its_folder_synced");
  if (synced.ok() && syncs_folder) synced = options_.env->SyncFolder(options_.folder);
  if (!synced.ok()) return Annotate(absl::DataLossError(synced.message()), "the log");
  bytes_ = static_cast<int64_t>(head.size());
  return absl::OkStatus();
}

absl::Status LogWriter::WhenThereIsRoom(absl::FunctionRef<absl::Status()> attempt) {
  bool was_full = false;
  for (;;) {
    const absl::Status status = attempt();
    if (PARLEY_PLANTED_BUG("full_disk_acknowledged")) return absl::OkStatus();
    if (!absl::IsResourceExhausted(status)) {
      if (was_full && status.ok()) options_.full(absl::OkStatus());
      return status;
    }
    if (!was_full) {
      LOG(ERROR) << "the log waits for room: " << status.message();
      options_.full(status);
    }
    was_full = true;
    MutexLock lock(&mutex_);
    if (!stopping_) changed_.WaitFor(&mutex_, kTryAgainAfter);
    if (stopping_) return absl::CancelledError("the log is closed");
  }
}

void LogWriter::RemoveSegmentsBefore(uint64_t segment) {
  const absl::StatusOr<std::vector<std::string>> names = options_.env->ListFolder(options_.folder);
  if (!names.ok()) {
    LOG(WARNING) << "old segments of the log stay: " << names.status().message();
    return;
  }
  for (const std::string& name : *names) {
    const absl::optional<uint64_t> number = ParseLogSegmentName(name);
    if (!number.has_value() || *number >= segment) continue;
    const absl::Status removed = options_.env->RemoveFile(JoinPath(options_.folder, name));
    if (!removed.ok()) LOG(WARNING) << "an old segment stays: " << removed.message();
  }
}

absl::Status RemoveLog(Env* env, const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> names = env->ListFolder(folder);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  if (!names.ok()) return names.status();
  bool any = false;
  for (const std::string& name : *names) {
    if (!ParseLogSegmentName(name).has_value()) continue;
    PARLEY_RETURN_IF_ERROR(env->RemoveFile(JoinPath(folder, name)));
    any = true;
  }
  return any ? env->SyncFolder(folder) : absl::OkStatus();
}

}  // namespace parley
