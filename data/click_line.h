#ifndef PARLEY_DATA_CLICK_LINE_H_
#define PARLEY_DATA_CLICK_LINE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace parley::data {

// Examples with a label and sparse features, one beside another: of each `fields` features, a key
// and a value. A feature of value 0 says nothing, and its key means nothing: it is padding, or a
// number that is missing.
struct ClickBatch {
  std::vector<float> labels;  // 0 or 1
  std::vector<uint64_t> keys;
  std::vector<float> values;
};

// What is wrong with a line: "which byte, from 1" and in words; no words: nothing.
struct LineFault {
  size_t column = 0;
  std::string what;
};

// A line of the Criteo logs (Display Advertising Challenge, and Terabyte): separated by tabs a
// label, 0 or 1, 13 whole numbers and 26 categories, any of which may be missing. So an example has
// 39 features, by their position f from 0:
//   a number x     key f * 2^56, value log(1 + max(x, 0)); missing: value 0
//   a category c   key f * 2^56 + hash(c), value 1; missing is the category ""
// where hash is FNV-1a of 64 bits (Fowler, Noll and Vo, 1991) of c's bytes, modulo `hash_buckets`
// (1 to 2^56; 0 stands for 2^56). Adds the example to `batch`, or nothing when the line is faulty.
// Pure.
constexpr int kCriteoFields = 39;
LineFault ParseCriteoLine(absl::string_view line, uint64_t hash_buckets, ClickBatch* batch);

// A line of a libsvm file: a label, 0, 1 or -1 (which means 0), and pairs index:value after spaces
// or tabs, in any order; from a '#' on it is a comment. A feature's key is its index, modulo
// `hash_buckets` unless that is 0, its value the value, finite. A line has at most `fields`
// features, and an example exactly so many: the others have value 0. As above.
LineFault ParseLibsvmLine(absl::string_view line, uint64_t hash_buckets, int fields,
                          ClickBatch* batch);

}  // namespace parley::data

#endif  // PARLEY_DATA_CLICK_LINE_H_
