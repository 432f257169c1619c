#include "data/click_line.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace parley::data {
namespace {

constexpr int kNumbers = 13;  // of a Criteo line; then come the categories
constexpr int kFieldBit = 56;
constexpr uint64_t kIdMask = (uint64_t{1} << kFieldBit) - 1;
constexpr size_t kShown = 40;  // bytes of what was wrong

std::string Shown(absl::string_view text) {
  const std::string shown = absl::CHexEscape(text.substr(0, kShown));
  return absl::StrCat("\"", shown, text.size() > kShown ? "\"..." : "\"");
}

uint64_t Fnv1a(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char each : text) {
    hash ^= static_cast<unsigned char>(each);
    hash *= 0x100000001b3;
  }
  return hash;
}

bool IsSpace(char c) { return c == ' ' || c == '\t'; }

}  // namespace

LineFault ParseCriteoLine(absl::string_view line, uint64_t hash_buckets, ClickBatch* batch) {
  const size_t features = batch->keys.size();
  const auto fault = [&](size_t at, std::string what) {
    batch->keys.resize(features);
    batch->values.resize(features);
    return LineFault{at + 1, std::move(what)};
  };
  float label = 0;
  size_t at = 0;
  for (int i = 0; i <= kCriteoFields; ++i) {
    const size_t end = std::min(line.find('\t', at), line.size());
    const absl::string_view text = line.substr(at, end - at);
    const bool last = i == kCriteoFields;
    if (end == line.size() && !last) {
      return fault(at, absl::StrCat("the line ends with field ", i + 1, ", a line of a Criteo log ",
                                    "has ", kCriteoFields + 1, ", separated by tabs"));
    }
    if (end < line.size() && last) {
      return fault(end, absl::StrCat("more than ", kCriteoFields + 1, " fields"));
    }
    if (i == 0) {
      if (text != "0" && text != "1") {
        return fault(at, absl::StrCat("the label ", Shown(text), " is neither 0 nor 1"));
      }
      label = text == "1" ? 1.0f : 0.0f;
    } else if (i <= kNumbers) {
      int64_t number = 0;
      // SimpleAtoi would take spaces, too.
      const bool whole = !text.empty() &&
                         !absl::ascii_isspace(static_cast<unsigned char>(text[0])) &&
                         !absl::ascii_isspace(static_cast<unsigned char>(text.back()));
      if (!text.empty() && !(whole && absl::SimpleAtoi(text, &number))) {
        return fault(at,
                     absl::StrCat("field ", i + 1, ", ", Shown(text), ", is not a whole number"));
      }
      batch->keys.push_back(static_cast<uint64_t>(i - 1) << kFieldBit);
      batch->values.push_back(std::log1p(static_cast<float>(std::max<int64_t>(number, 0))));
    } else {
      const uint64_t hash = Fnv1a(text);
      const uint64_t id = hash_buckets == 0 ? hash & kIdMask : hash % hash_buckets;
      batch->keys.push_back((static_cast<uint64_t>(i - 1) << kFieldBit) + (id & kIdMask));
      batch->values.push_back(1);
    }
    at = end + 1;
  }
  batch->labels.push_back(label);
  return {};
}

LineFault ParseLibsvmLine(absl::string_view line, uint64_t hash_buckets, int fields,
                          ClickBatch* batch) {
  const size_t features = batch->keys.size();
  const auto fault = [&](size_t at, std::string what) {
    batch->keys.resize(features);
    batch->values.resize(features);
    return LineFault{at + 1, std::move(what)};
  };
  line = line.substr(0, line.find('#'));
  size_t at = 0;
  const auto next_word = [&] {
    while (at < line.size() && IsSpace(line[at])) ++at;
    size_t end = at;
    while (end < line.size() && !IsSpace(line[end])) ++end;
    return line.substr(at, end - at);
  };
  absl::string_view word = next_word();
  float label = 0;
  if (word.empty()) return fault(0, "there is no label");
  if (!absl::SimpleAtof(word, &label) || (label != 0 && label != 1 && label != -1)) {
    return fault(at, absl::StrCat("the label ", Shown(word), " is none of 0, 1 and -1"));
  }
  const size_t most = features + static_cast<size_t>(fields);
  for (at += word.size(); !(word = next_word()).empty(); at += word.size()) {
    const size_t colon = word.find(':');
    uint64_t index = 0;
    float value = 0;
    const bool digits = colon != absl::string_view::npos && colon > 0 &&
                        std::all_of(word.begin(), word.begin() + colon, absl::ascii_isdigit);
    if (!digits || !absl::SimpleAtoi(word.substr(0, colon), &index)) {
      return fault(at, absl::StrCat(Shown(word), " is not a feature index:value"));
    }
    const absl::string_view number = word.substr(colon + 1);
    if (!absl::SimpleAtof(number, &value) || !std::isfinite(value)) {
      return fault(at + colon + 1,
                   absl::StrCat("the value ", Shown(number), " is not a finite number"));
    }
    if (batch->keys.size() == most) {
      return fault(at, absl::StrCat("more than ", fields, " features"));
    }
    batch->keys.push_back(hash_buckets == 0 ? index : index % hash_buckets);
    batch->values.push_back(value);
  }
  batch->keys.resize(most, 0);
  batch->values.resize(most, 0);
  batch->labels.push_back(label == 1 ? 1.0f : 0.0f);
  return {};
}

}  // namespace parley::data
