#include "ps/safetensors_header.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json_string.h"

namespace parley {

std::string SafeTensorsHeader(const std::vector<std::pair<std::string, std::string>>& metadata,
                              const std::vector<SafeTensor>& tensors) {
  std::string json = "{\"__metadata__\":{";
  for (size_t i = 0; i < metadata.size(); ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ",", JsonString(metadata[i].first), ":",
                    JsonString(metadata[i].second));
  }
  json += "}";
  int64_t begin = 0;
  for (const SafeTensor& tensor : tensors) {
    absl::StrAppend(&json, ",", JsonString(tensor.name), ":{\"dtype\":\"", tensor.dtype,
                    "\",\"shape\":[", absl::StrJoin(tensor.shape, ","), "],\"data_offsets\":[",
                    begin, ",", begin + tensor.bytes, "]}");
    begin += tensor.bytes;
  }
  json += "}";
  while (json.size() % 8 != 0) json += ' ';
  std::string header;
  for (int i = 0; i < 8; ++i) header += static_cast<char>(json.size() >> (8 * i));
  return header + json;
}

}  // namespace parley
