#include "data/text.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/file.h"
#include "base/status.h"
#include "data/read_file.h"

namespace parley::data {
namespace {

constexpr int kLongestWindow = 65536;
constexpr size_t kHeldOut = 10;  // one byte in this many

class Text final : public Dataset {
 public:
  Text(std::string text, int time)
      : text_(std::move(text)),
        time_(static_cast<size_t>(time)),
        feature_shape_({0}),
        vocabularies_(time_, kTextVocabulary) {}

  int64_t size() const override {
    return text_.empty() ? 0 : static_cast<int64_t>((text_.size() - 1) / time_);
  }
  const std::vector<int>& feature_shape() const override { return feature_shape_; }
  absl::Span<const int> vocabularies() const override { return vocabularies_; }
  int num_classes() const override { return kTextVocabulary; }
  int labels_each() const override { return static_cast<int>(time_); }

  void Fill(absl::Span<const int64_t> indices, Batch* batch) const override {
    batch->Resize(indices.size(), 0);
    batch->targets.clear();
    batch->ids.resize(indices.size() * time_);
    batch->labels.resize(indices.size() * time_);
    for (size_t i = 0; i < indices.size(); ++i) {
      const auto* in =
          reinterpret_cast<const uint8_t*>(text_.data()) + static_cast<size_t>(indices[i]) * time_;
      std::copy(in, in + time_, batch->ids.begin() + static_cast<int64_t>(i * time_));
      std::copy(in + 1, in + 1 + time_, batch->labels.begin() + static_cast<int64_t>(i * time_));
    }
  }

 private:
  const std::string text_;
  const size_t time_;
  const std::vector<int> feature_shape_;
  const std::vector<int> vocabularies_;
};

absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& folder) {
  DIR* const listing = opendir(folder.c_str());
  if (listing == nullptr) return ErrnoToStatus(errno, folder);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(listing)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  closedir(listing);
  std::sort(names.begin(), names.end());
  std::vector<std::string> files;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const std::string& name : names) {
    const std::string path = JoinPath(folder, name);
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, path);
    if (!S_ISREG(info.st_mode)) continue;
    if (seen.emplace(info.st_dev, info.st_ino).second) files.push_back(path);
  }
  return files;
}

}  // namespace

std::unique_ptr<Dataset> NewTextDataset(std::string text, int time) {
  return std::make_unique<Text>(std::move(text), time);
}

absl::StatusOr<TrainAndTest> OpenText(const std::string& path, int time) {
  if (time < 1 || time > kLongestWindow) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read in windows of ", time,
                                                   " bytes, 1 to ", kLongestWindow,
                                                   " are possible"));
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, path);
  std::vector<std::string> files = {path};
  if (S_ISDIR(info.st_mode)) {
    PARLEY_ASSIGN_OR_RETURN(files, FilesOf(path));
  }
  std::string text;
  for (const std::string& file : files) {
    PARLEY_ASSIGN_OR_RETURN(const std::string bytes, ReadPossiblyGzipped(file));
    text += bytes;
  }
  const size_t held_out = text.size() / kHeldOut;
  TrainAndTest both;
  both.test = NewTextDataset(text.substr(text.size() - held_out), time);
  const size_t bytes = text.size();
  text.resize(text.size() - held_out);
  both.train = NewTextDataset(std::move(text), time);
  if (both.test->size() == 0 || both.train->size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", bytes, " bytes in ", files.size(),
                     " files are too few to train and test in windows of ", time));
  }
  return both;
}

}  // namespace parley::data
