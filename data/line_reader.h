#ifndef PARLEY_DATA_LINE_READER_H_
#define PARLEY_DATA_LINE_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"

namespace parley::data {

// Reads the lines of a text file one after another, in memory that does not depend on its size; or
// one of `parts` parts of them, which together are all lines, each once. A part of a plain file is
// a range of its bytes (lines belong where they begin); of a gzip file, which can only be read from
// its beginning, every parts-th line.
//
// Errors name the file: NOT_FOUND and what else the system says; DATA_LOSS when its gzip is
// truncated, damaged, or followed by anything else; INVALID_ARGUMENT, with the line's number, for a
// line of more than kMostBytes, which is left out: Next goes on behind it.
// Thread safety: none.
class LineReader {
 public:
  static constexpr size_t kMostBytes = size_t{1} << 20;  // of a line

  // 0 <= part < parts. `env` must outlive the reader.
  static absl::StatusOr<std::unique_ptr<LineReader>> Open(Env* env, const std::string& path,
                                                          int part = 0, int parts = 1);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line, without "\n" or "\r\n", valid until the next call; false behind the last one.
  absl::StatusOr<bool> Next(absl::string_view* line);

  // The number of the line that Next gave last, from 1, in the whole file: of a part, the lines
  // before it are counted when somebody asks.
  absl::StatusOr<int64_t> LineNumber() const;

 private:
  class Gunzip;

  LineReader(std::unique_ptr<ReadableFile> file, std::string path, int64_t begin, int64_t end);

  // Adds what comes next in the file to `text_`; at its end sets `ended_`.
  absl::Status Fill();
  // The line that begins at `next_`, in whatever part.
  absl::StatusOr<bool> NextOfFile(absl::string_view* line);

  const std::unique_ptr<ReadableFile> file_;
  const std::string path_;
  const int64_t begin_;             // in bytes of a plain file
  const int64_t end_;               // lines that begin before this are ours
  std::unique_ptr<Gunzip> gunzip_;  // null: a plain file
  int part_ = 0;                    // of a gzip file
  int parts_ = 1;
  std::string text_;       // read and not given yet, from next_ on
  size_t next_ = 0;        // in text_
  int64_t text_at_ = 0;    // of text_'s first byte, in the (unpacked) file
  int64_t read_ = 0;       // bytes of the file taken
  int64_t lines_ = 0;      // given or passed, from begin_ on
  bool ended_ = false;     // everything is in text_
  bool too_long_ = false;  // the rest of the present line is to be passed over
};

}  // namespace parley::data

#endif  // PARLEY_DATA_LINE_READER_H_
