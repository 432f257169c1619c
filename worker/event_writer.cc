#include "worker/event_writer.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

void AppendLittleEndian(uint64_t value, int bytes, std::string* to) {
  for (int i = 0; i < bytes; ++i) to->push_back(static_cast<char>(value >> (8 * i)));
}

// A CRC of bytes that have a CRC in them would be weak: crc32c.h of TensorFlow.
void AppendMaskedCrc(const std::string& data, std::string* to) {
  const uint32_t crc = Crc32c(data.data(), data.size());
  AppendLittleEndian(((crc >> 15) | (crc << 17)) + 0xa282ead8u, 4, to);
}

double WallTime() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

std::string HostName() {
  char name[256] = "localhost";
  gethostname(name, sizeof(name) - 1);
  return name;
}

}  // namespace

std::string FrameRecord(const std::string& data) {
  std::string record;
  AppendLittleEndian(data.size(), 8, &record);
  AppendMaskedCrc(record, &record);
  record += data;
  AppendMaskedCrc(data, &record);
  return record;
}

absl::StatusOr<std::unique_ptr<EventWriter>> EventWriter::Create(Env* env,
                                                                 const std::string& folder) {
  PARLEY_RETURN_IF_ERROR(env->CreateFolders(folder));
  // TensorBoard reads a folder's files in the order of their names, and looks for "tfevents". Two
  // starts in one second differ by the process.
  const std::string path =
      JoinPath(folder, absl::StrFormat("events.out.tfevents.%010d.%s.%d",
                                       absl::ToUnixSeconds(absl::Now()), HostName(), getpid()));
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, env->NewWritableFile(path));
  event::Event first;
  first.set_wall_time(WallTime());
  first.set_file_version("brain.Event:2");
  const std::string record = FrameRecord(first.SerializeAsString());
  PARLEY_RETURN_IF_ERROR(file->Append(record.data(), record.size()));
  return std::unique_ptr<EventWriter>(new EventWriter(path, std::move(file)));
}

EventWriter::EventWriter(std::string path, std::unique_ptr<WritableFile> file)
    : path_(std::move(path)), file_(std::move(file)), thread_([this] { Run(); }) {}

EventWriter::~EventWriter() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void EventWriter::Add(event::Event event) {
  event.set_wall_time(WallTime());
  bool first_drop = false;
  {
    MutexLock lock(&mutex_);
    if (failed_) return;
    if (waiting_.size() < kMaxWaiting) {
      waiting_.push_back(std::move(event));
    } else {
      first_drop = !std::exchange(dropped_, true);
    }
  }
  changed_.NotifyAll();
  LOG_IF(WARNING, first_drop) << path_ << ": the disk is too slow; events are left out";
}

void EventWriter::Run() {
  for (;;) {
    std::vector<event::Event> events;
    {
      MutexLock lock(&mutex_);
      while (waiting_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (waiting_.empty()) break;
      events.swap(waiting_);
    }
    std::string records;
    for (const event::Event& event : events) records += FrameRecord(event.SerializeAsString());
    const absl::Status written = file_->Append(records.data(), records.size());
    if (written.ok()) continue;
    LOG(WARNING) << "no more events for TensorBoard: " << written.message();
    MutexLock lock(&mutex_);
    failed_ = true;
    waiting_.clear();
    return;
  }
  const absl::Status closed = file_->Close();
  LOG_IF(WARNING, !closed.ok()) << "events for TensorBoard: " << closed.message();
}

}  // namespace parley
