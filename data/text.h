#ifndef PARLEY_DATA_TEXT_H_
#define PARLEY_DATA_TEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/dataset.h"

namespace parley::data {

// A text's tokens are its bytes.
inline constexpr int kTextVocabulary = 256;

// Windows of `text` for a language model: example i has as ids the `time` >= 1 bytes from i * time
// on, and as labels, for each of them, the byte after it. What is left at the end, less than a
// window and the byte after it, is in no example; a text that is shorter has none.
std::unique_ptr<Dataset> NewTextDataset(std::string text, int time);

// Reads the text to train on and to test with: `path` is a file, plain or gzip, or a folder, all of
// whose files (those with names that do not begin with ".") are read in the order of their names;
// one that is there under two names, or linked to, is read once. The last tenth of the bytes is
// held out for the test.
//
// INVALID_ARGUMENT, naming `path`, when `time` is not in [1, 65536], or when the text is too short
// for one window to train on and one to test; NOT_FOUND and the errors of read_file.h, by file.
absl::StatusOr<TrainAndTest> OpenText(const std::string& path, int time);

}  // namespace parley::data

#endif  // PARLEY_DATA_TEXT_H_
