#ifndef PARLEY_DATA_CLICK_FILES_H_
#define PARLEY_DATA_CLICK_FILES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/env.h"
#include "base/metrics.h"
#include "data/click_line.h"
#include "data/line_reader.h"

namespace parley::data {

struct ClickFilesOptions {
  enum class Format { kCriteo, kLibsvm };
  Format format = Format::kCriteo;
  int fields = kCriteoFields;  // of an example; of kCriteo it is kCriteoFields
  uint64_t hash_buckets = 0;   // see data/click_line.h
  bool skip_bad_lines = false;
  // Which part of each file's lines is read (data/line_reader.h): a worker's index, and their
  // number.
  int part = 0;
  int parts = 1;
  // Counts parley_worker_bad_lines_total; may be null. Must outlive the reader.
  Metrics* metrics = nullptr;
  Env* env = nullptr;  // null: Env::Posix()
};

// Reads the examples of text files, plain or gzip, one after another, in passes without end: memory
// does not depend on how many there are.
//
// An error names file, line and, of a line that is faulty, the byte: "day_0:7:3: ...". With
// skip_bad_lines such a line is counted, and passed over. INVALID_ARGUMENT when a whole pass has
// not one example.
// Thread safety: none.
class ClickFiles {
 public:
  // Opens the first one. INVALID_ARGUMENT for options that do not go together.
  static absl::StatusOr<std::unique_ptr<ClickFiles>> Open(std::vector<std::string> paths,
                                                          const ClickFilesOptions& options);

  int fields() const { return options_.fields; }
  // Adds the next example to `batch`; false, once, at the end of each pass.
  absl::StatusOr<bool> Next(ClickBatch* batch);
  // Adds the next `size` examples, of as many passes as it takes.
  absl::Status Fill(int64_t size, ClickBatch* batch);

  int64_t bad_lines() const { return bad_lines_; }

 private:
  ClickFiles(std::vector<std::string> paths, const ClickFilesOptions& options);

  const std::vector<std::string> paths_;
  const ClickFilesOptions options_;
  Env* const env_;
  prometheus::Counter* const bad_lines_counter_;  // may be null
  size_t next_path_ = 0;
  std::unique_ptr<LineReader> reader_;  // of the path before; null: between two files
  int64_t examples_ = 0;                // of this pass
  int64_t bad_lines_ = 0;
};

}  // namespace parley::data

#endif  // PARLEY_DATA_CLICK_FILES_H_
