#ifndef PARLEY_DATA_READ_FILE_H_
#define PARLEY_DATA_READ_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace parley::data {

// The bytes of a file, unpacked when it is gzip (told by its first two bytes; RFC 1952, one member
// or several). Errors name the file: NOT_FOUND and what else the system says; DATA_LOSS when its
// gzip is truncated, damaged, or followed by anything else; RESOURCE_EXHAUSTED past 16 GiB. Memory
// grows with what is really there, never with a size that the file claims.
absl::StatusOr<std::string> ReadPossiblyGzipped(const std::string& path);

}  // namespace parley::data

#endif  // PARLEY_DATA_READ_FILE_H_
