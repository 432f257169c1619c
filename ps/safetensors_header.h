#ifndef PARLEY_PS_SAFETENSORS_HEADER_H_
#define PARLEY_PS_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace parley {

// One tensor of a safetensors file.
struct SafeTensor {
  std::string name;
  std::string dtype;  // "F32", "BF16", "U64"
  std::vector<int64_t> shape;
  int64_t bytes;
};

// What stands before the tensors' bytes in a safetensors file
// (https://github.com/huggingface/safetensors, "Format"): the length of the JSON that follows, in 8
// bytes, little-endian, and the JSON, with spaces behind it up to a multiple of 8. The tensors'
// bytes stand one after another, in this order, without gaps. Names are distinct, and none is
// "__metadata__". Pure.
std::string SafeTensorsHeader(const std::vector<std::pair<std::string, std::string>>& metadata,
                              const std::vector<SafeTensor>& tensors);

}  // namespace parley

#endif  // PARLEY_PS_SAFETENSORS_HEADER_H_
