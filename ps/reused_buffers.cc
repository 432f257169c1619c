#include "ps/reused_buffers.h"

#include <algorithm>

namespace parley {

std::shared_ptr<ReusedBuffers> ReusedBuffers::Create() {
  return std::shared_ptr<ReusedBuffers>(new ReusedBuffers());
}

std::shared_ptr<std::byte> ReusedBuffers::Take(size_t size) {
  AlignedBytes buffer;
  {
    MutexLock lock(&mutex_);
    // The last that came back is still in a cache.
    const auto found = std::find_if(free_.rbegin(), free_.rend(),
                                    [size](const auto& each) { return each.first == size; });
    if (found != free_.rend()) {
      buffer = std::move(found->second);
      free_.erase(std::next(found).base());
      bytes_ -= size;
    }
  }
  if (buffer == nullptr) buffer = NewAlignedBytes(size);
  return std::shared_ptr<std::byte>(buffer.release(),
                                    [buffers = shared_from_this(), size](std::byte* bytes) {
                                      buffers->Return(size, AlignedBytes(bytes));
                                    });
}

void ReusedBuffers::Return(size_t size, AlignedBytes buffer) {
  if (size > kMostBytes) return;
  std::vector<AlignedBytes> dropped;  // outside the lock
  MutexLock lock(&mutex_);
  while (free_.size() == kMostKept || bytes_ + size > kMostBytes) {
    bytes_ -= free_.front().first;
    dropped.push_back(std::move(free_.front().second));
    free_.erase(free_.begin());
  }
  bytes_ += size;
  free_.emplace_back(size, std::move(buffer));
}

}  // namespace parley
