#ifndef PARLEY_BASE_MACHINE_MEMORY_H_
#define PARLEY_BASE_MACHINE_MEMORY_H_

#include <unistd.h>

#include <cstdint>

namespace parley {

// The machine's memory in bytes. Safe from any thread.
inline int64_t MachineMemory() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
}

}  // namespace parley

#endif  // PARLEY_BASE_MACHINE_MEMORY_H_
