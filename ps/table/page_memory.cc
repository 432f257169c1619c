#include "ps/table/page_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>

namespace parley {
namespace {

constexpr size_t kRegion = size_t{16} << 20;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

PageMemory::PageMemory(size_t bytes) : size_(RoundUp(std::max<size_t>(bytes, 1), kHugePage)) {
  // One page more, so that an aligned piece is inside; what is around it is given back.
  const size_t asked = size_ + kHugePage;
  void* const mapped = mmap(nullptr, asked, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    size_ = 0;
    throw std::bad_alloc();
  }
  std::byte* const begin = static_cast<std::byte*>(mapped);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  data_ = begin + before;
  if (before > 0) munmap(begin, before);
  munmap(data_ + size_, kHugePage - before);
#ifdef MADV_HUGEPAGE
  madvise(data_, size_, MADV_HUGEPAGE);  // small pages serve as well, if slower
#endif
}

PageMemory::PageMemory(PageMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

PageMemory& PageMemory::operator=(PageMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PageMemory::~PageMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

std::byte* PagePool::Allocate(size_t bytes) {
  auto fits = std::find_if(free_.begin(), free_.end(),
                           [bytes](const auto& piece) { return piece.second >= bytes; });
  if (fits == free_.end()) {
    regions_.emplace_back(std::max(bytes, kRegion));
    mapped_ += regions_.back().size();
    fits = free_.emplace(regions_.back().data(), regions_.back().size()).first;
  }
  const auto [data, size] = *fits;
  free_.erase(fits);
  if (size > bytes) free_.emplace(data + bytes, size - bytes);
  used_ += bytes;
  return data;
}

void PagePool::Free(std::byte* data, size_t bytes) {
  used_ -= bytes;
  auto after = free_.lower_bound(data);
  if (after != free_.end() && data + bytes == after->first) {
    bytes += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == data) {
      before->second += bytes;
      return;
    }
  }
  free_.emplace(data, bytes);
}

}  // namespace parley
