#ifndef PARLEY_WORKER_EVENT_WRITER_H_
#define PARLEY_WORKER_EVENT_WRITER_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/env.h"
#include "base/mutex.h"
#include "worker/event.pb.h"

namespace parley {

// `data` as a record of a TFRecord file (tensorflow/core/lib/io/record_writer.h): its length in 8
// bytes, little-endian; their masked CRC32C; the bytes; their masked CRC32C.
std::string FrameRecord(const std::string& data);

// An EventWriter writes an event file for TensorBoard, in the background: who adds an event never
// waits for a disk. When the file cannot be written any more, it says so in the log, once, and
// drops what comes. Thread safety: safe from any thread. Threads: one, which writes.
class EventWriter {
 public:
  // Makes a new file in `folder`, which is made when missing, named after the time and this
  // machine, with the first event that says its version. Errors name the path.
  static absl::StatusOr<std::unique_ptr<EventWriter>> Create(Env* env, const std::string& folder);
  // Writes what was added, and closes the file.
  ~EventWriter();

  // wall_time is set here.
  void Add(event::Event event);

  const std::string& path() const { return path_; }

 private:
  // Events that may wait for the disk; others are dropped.
  static constexpr size_t kMaxWaiting = 4096;

  EventWriter(std::string path, std::unique_ptr<WritableFile> file);
  void Run();

  const std::string path_;
  std::unique_ptr<WritableFile> file_;  // the thread's

  Mutex mutex_;
  CondVar changed_;
  std::vector<event::Event> waiting_ ABSL_GUARDED_BY(mutex_);
  bool dropped_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_WORKER_EVENT_WRITER_H_
