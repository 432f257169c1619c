#include "data/click_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley::data {

ClickFiles::ClickFiles(std::vector<std::string> paths, const ClickFilesOptions& options)
    : paths_(std::move(paths)),
      options_(options),
      env_(options.env == nullptr ? Env::Posix() : options.env),
      bad_lines_counter_(
          options.metrics == nullptr
              ? nullptr
              : options.metrics->NewCounter("parley_worker_bad_lines_total",
                                            "Lines of input that were faulty and passed over.")) {}

absl::StatusOr<std::unique_ptr<ClickFiles>> ClickFiles::Open(std::vector<std::string> paths,
                                                             const ClickFilesOptions& options) {
  if (paths.empty()) return absl::InvalidArgumentError("there is no file to read");
  const bool criteo = options.format == ClickFilesOptions::Format::kCriteo;
  if (options.fields < 1 || options.fields > 65536 || (criteo && options.fields != kCriteoFields)) {
    return absl::InvalidArgumentError(absl::StrCat(options.fields, " fields: a Criteo log has ",
                                                   kCriteoFields, ", a libsvm file 1 to 65536"));
  }
  if (options.hash_buckets > uint64_t{1} << 56) {
    return absl::InvalidArgumentError("there are at most 2^56 buckets of hashes");
  }
  if (options.parts < 1 || options.part < 0 || options.part >= options.parts) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no part ", options.part, " of ", options.parts));
  }
  std::unique_ptr<ClickFiles> files(new ClickFiles(std::move(paths), options));
  PARLEY_ASSIGN_OR_RETURN(
      files->reader_, LineReader::Open(files->env_, files->paths_[0], options.part, options.parts));
  files->next_path_ = 1;
  return files;
}

absl::StatusOr<bool> ClickFiles::Next(ClickBatch* batch) {
  for (;;) {
    if (reader_ == nullptr) {
      if (next_path_ == paths_.size()) {
        next_path_ = 0;
        if (examples_ > 0) {
          examples_ = 0;
          return false;
        }
        return absl::InvalidArgumentError(absl::StrCat(
            paths_[0], ": ", paths_.size() == 1 ? "it has" : "these files have",
            " no examples, of part ", options_.part, " of ", options_.parts,
            bad_lines_ > 0 ? absl::StrCat("; ", bad_lines_, " lines were faulty") : ""));
      }
      PARLEY_ASSIGN_OR_RETURN(
          reader_, LineReader::Open(env_, paths_[next_path_], options_.part, options_.parts));
      ++next_path_;
    }
    absl::string_view line;
    const absl::StatusOr<bool> more = reader_->Next(&line);
    absl::Status faulty;
    if (!more.ok()) {
      if (more.status().code() != absl::StatusCode::kInvalidArgument) return more.status();
      faulty = more.status();
    } else if (!*more) {
      reader_ = nullptr;
      continue;
    } else {
      const LineFault fault =
          options_.format == ClickFilesOptions::Format::kCriteo
              ? ParseCriteoLine(line, options_.hash_buckets, batch)
              : ParseLibsvmLine(line, options_.hash_buckets, options_.fields, batch);
      if (fault.what.empty()) {
        ++examples_;
        return true;
      }
      if (!options_.skip_bad_lines) {  // the number may have to be counted
        PARLEY_ASSIGN_OR_RETURN(const int64_t number, reader_->LineNumber());
        faulty = absl::InvalidArgumentError(
            absl::StrCat(paths_[next_path_ - 1], ":", number, ":", fault.column, ": ", fault.what));
      }
    }
    if (!options_.skip_bad_lines) return faulty;
    ++bad_lines_;
    if (bad_lines_counter_ != nullptr) bad_lines_counter_->Increment();
  }
}

absl::Status ClickFiles::Fill(int64_t size, ClickBatch* batch) {
  for (int64_t added = 0; added < size;) {
    PARLEY_ASSIGN_OR_RETURN(const bool more, Next(batch));
    if (more) ++added;
  }
  return absl::OkStatus();
}

}  // namespace parley::data
