#ifndef PARLEY_PS_TABLE_PAGE_MEMORY_H_
#define PARLEY_PS_TABLE_PAGE_MEMORY_H_

#include <cstddef>
#include <map>
#include <vector>

namespace parley {

constexpr size_t kHugePage = size_t{2} << 20;

// Anonymous memory, zeroed, aligned to kHugePage and in pages of that size where the kernel makes
// them: a table is read at random, and with pages of 4 KiB each read would look up its address in
// memory, too. Takes memory when it is first touched. Owns it; moves. Thread safety: as for a
// std::vector.
class PageMemory {
 public:
  PageMemory() = default;
  // At least `bytes`; throws std::bad_alloc, like new, when the system gives no more.
  explicit PageMemory(size_t bytes);
  PageMemory(PageMemory&& other) noexcept;
  PageMemory& operator=(PageMemory&& other) noexcept;
  ~PageMemory();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }  // bytes

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A PagePool hands out pieces of PageMemory in units of 4 KiB, and takes them back: neighbours that
// are free become one piece. Thread safety: none.
class PagePool {
 public:
  static constexpr size_t kUnit = 4096;  // bytes

  // `bytes`, a multiple of kUnit, aligned to it; not initialised. Throws std::bad_alloc.
  std::byte* Allocate(size_t bytes);
  // What Allocate gave for as many bytes.
  void Free(std::byte* data, size_t bytes);

  // Bytes handed out, and bytes taken from the system at most.
  size_t used() const { return used_; }
  size_t mapped() const { return mapped_; }

 private:
  std::vector<PageMemory> regions_;
  std::map<std::byte*, size_t> free_;  // no two touch, but at the borders of regions
  size_t used_ = 0;
  size_t mapped_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_PAGE_MEMORY_H_
