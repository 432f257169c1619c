#include "ps/log_reader.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "glog/logging.h"

namespace parley {

absl::StatusOr<LogReader> LogReader::Open(Env* env, const std::string& folder) {
  LogReader reader(env);
  const absl::StatusOr<std::vector<std::string>> listed = env->ListFolder(folder);
  if (!listed.ok() && !absl::IsNotFound(listed.status())) return listed.status();
  std::vector<std::string> names;
  for (const std::string& name : listed.ok() ? *listed : std::vector<std::string>()) {
    if (ParseLogSegmentName(name).has_value()) names.push_back(name);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const uint64_t number = *ParseLogSegmentName(names[i]);
    const std::string path = JoinPath(folder, names[i]);
    PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, env->OpenFile(path));
    absl::StatusOr<ReadLogRecord> first = ReadLogRecordAt(*file, 0, ReusedBuffers::Create().get());
    const bool begins =
        first.ok() && first->record.has_begin() && first->record.begin().segment() == number;
    if (!begins && i + 1 == names.size() && absl::IsOutOfRange(first.status())) {
      LOG(WARNING) << path << ": it was being begun; removed";
      PARLEY_RETURN_IF_ERROR(env->RemoveFile(path));
      break;
    }
    if (!begins) return absl::DataLossError(absl::StrCat(path, ": its beginning is damaged"));
    if (!reader.segments_.empty() && number != reader.last_segment() + 1) {
      return absl::DataLossError(
          absl::StrCat(path, ": segment ", reader.last_segment() + 1, " is missing before it"));
    }
    reader.segments_.push_back({path, std::move(*first->record.mutable_begin()), first->end});
  }
  if (reader.segments_.empty()) return absl::NotFoundError(absl::StrCat("no log in ", folder));
  return reader;
}

absl::StatusOr<int64_t> LogReader::Replay(
    uint64_t segment, absl::FunctionRef<absl::Status(ReadLogRecord)> take) const {
  const std::shared_ptr<ReusedBuffers> buffers = ReusedBuffers::Create();
  int64_t at = 0;
  for (size_t i = segment - first_segment(); i < segments_.size(); ++i) {
    const std::string& path = segments_[i].path;
    const auto damaged = [&] {
      return absl::DataLossError(absl::StrCat(path, ": it is damaged at byte ", at));
    };
    const bool is_last = i + 1 == segments_.size();
    const int64_t counted =
        is_last ? -1 : static_cast<int64_t>(segments_[i + 1].begin.previous_bytes());
    PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, env_->OpenFile(path));
    at = segments_[i].begin_end;
    while (at != counted) {
      absl::StatusOr<ReadLogRecord> record = ReadLogRecordAt(*file, at, buffers.get());
      if (absl::IsOutOfRange(record.status())) {
        if (!is_last && !PARLEY_PLANTED_BUG("missing_end_of_a_segment_ignored")) return damaged();
        if (at < file->size()) {
          LOG(WARNING) << path << ": " << file->size() - at
                       << " bytes at its end were being written, and were not acknowledged";
        }
        break;
      }
      if (!record.ok()) return Annotate(record.status(), path);
      if (!is_last && record->end > counted) return damaged();
      at = record->end;
      PARLEY_RETURN_IF_ERROR(Annotate(take(*std::move(record)), path));
    }
  }
  return at;
}

}  // namespace parley
