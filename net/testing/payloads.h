#ifndef PARLEY_NET_TESTING_PAYLOADS_H_
#define PARLEY_NET_TESTING_PAYLOADS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/philox.h"
#include "net/payload.h"

namespace parley {

// `size` bytes that depend on `seed`.
inline std::string RandomBytes(uint64_t seed, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<char>(PhiloxUint64(seed, 0, i / 8) >> (i % 8 * 8));
  return bytes;
}

// A Payload that owns `bytes`, in slices of `slice_size`.
inline Payload MakePayload(std::string bytes, size_t slice_size = SIZE_MAX) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  Payload payload;
  for (size_t offset = 0; offset < owner->size();) {
    const size_t size = std::min(slice_size, owner->size() - offset);
    payload.Append(owner->data() + offset, size, owner);
    offset += size;
  }
  return payload;
}

inline std::string BytesOf(const Payload& payload) {
  std::string bytes(payload.size(), '\0');
  payload.CopyTo(bytes.data());
  return bytes;
}

}  // namespace parley

#endif  // PARLEY_NET_TESTING_PAYLOADS_H_
