#ifndef PARLEY_BASE_CRC32C_H_
#define PARLEY_BASE_CRC32C_H_

#include <cstddef>
#include <cstdint>

namespace parley {

// CRC32C (Castagnoli): polynomial 0x1EDC6F41, reflected, as in RFC 3720 (iSCSI), appendix B.4. It
// finds every error burst of up to 32 bits. Uses the SSE4.2 instruction, which x86-64-v3 has. Pure.

// The CRC32C of a sequence of bytes whose first part has the CRC32C `crc` and whose rest is `data`.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size);

inline uint32_t Crc32c(const void* data, size_t size) { return ExtendCrc32c(0, data, size); }

}  // namespace parley

#endif  // PARLEY_BASE_CRC32C_H_
