#include "net/shared_arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr size_t kSegmentBytes = size_t{1} << 30;  // of address space; pages come when written
constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
// Buffers of these sizes stand in huge pages from the beginning: they are written whole and soon.
// Larger ones get huge pages when they are lent, since they may never be written.
constexpr size_t kLeastFilled = size_t{64} << 10;
constexpr size_t kMostFilled = size_t{4} << 20;
constexpr size_t kMaxSegments = 4096;  // that a peer may have
constexpr uint64_t kMaxSegmentBytes = uint64_t{1} << 42;

absl::Status SystemError(absl::string_view what) {
  return absl::ResourceExhaustedError(absl::StrCat("shared memory: ", what, ": ", strerror(errno)));
}

// Whole pages for large buffers, so that a page belongs to one.
size_t Rounded(size_t bytes) {
  const size_t unit = bytes >= kPage ? kPage : kBufferAlignment;
  return std::max(unit, (bytes + unit - 1) / unit * unit);
}

// Maps all of a file of `size` bytes where huge pages can stand: at a multiple of their size.
// MAP_FAILED when the system does not.
void* MapAligned(int fd, size_t size, int protection) {
  const size_t reserved = size + kHugePage;
  void* const all = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                         /*fd=*/-1, 0);
  if (all == MAP_FAILED) return MAP_FAILED;
  std::byte* const begin = static_cast<std::byte*>(all);
  const size_t before = kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage;
  void* const data =
      mmap(begin + before, size, protection, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    munmap(all, reserved);
    errno = error;
    return MAP_FAILED;
  }
  munmap(all, before);
  const size_t end = before + (size + kPage - 1) / kPage * kPage;
  if (end < reserved) munmap(begin + end, reserved - end);
  return data;
}

// Makes one huge page of the small ones at `data`, where the kernel knows how. It does not while
// another thread's first touch of one of them is under way.
void MakeHuge(std::byte* data) {
  constexpr int kCollapse = 25;  // MADV_COLLAPSE, which older headers lack
  constexpr int kTries = 4;
  for (int i = 0; i < kTries && madvise(data, kHugePage, kCollapse) != 0; ++i) {
    if (errno != EAGAIN && errno != EBUSY) return;
  }
}

}  // namespace

std::shared_ptr<SharedArena> SharedArena::Create() {
  return std::shared_ptr<SharedArena>(new SharedArena());
}

SharedArena::~SharedArena() {
  MutexLock lock(&mutex_);
  for (const Mapping& segment : segments_) munmap(segment.data, segment.size);
}

absl::Status SharedArena::AddSegment(size_t least) {
  const size_t size = std::max(kSegmentBytes, (least + kPage - 1) / kPage * kPage);
  UniqueFd fd(memfd_create("parley", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return SystemError("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return SystemError(absl::StrCat("a segment of ", size, " bytes"));
  }
  void* const data = MapAligned(fd.get(), size, PROT_READ | PROT_WRITE);
  if (data == MAP_FAILED) return SystemError(absl::StrCat("mapping ", size, " bytes"));
  by_address_.emplace(static_cast<std::byte*>(data), static_cast<uint32_t>(segments_.size()));
  segments_.push_back({std::move(fd), static_cast<std::byte*>(data), size, 0, {}});
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<std::byte>> SharedArena::Allocate(size_t bytes) {
  if (bytes > kMaxSegmentBytes / 2) {
    return absl::ResourceExhaustedError(
        absl::StrCat("shared memory: a buffer of ", bytes, " bytes"));
  }
  const size_t rounded = Rounded(bytes);
  std::byte* data = TakeFreed(rounded);
  if (data == nullptr) {
    PARLEY_ASSIGN_OR_RETURN(data, TakeNew(rounded));
  }
  return std::shared_ptr<std::byte>(data, [arena = shared_from_this(), rounded](std::byte* buffer) {
    arena->Free(buffer, rounded);
  });
}

std::byte* SharedArena::TakeFreed(size_t rounded) {
  MutexLock lock(&mutex_);
  const auto freed = free_.find(rounded);
  if (freed == free_.end() || freed->second.empty()) return nullptr;
  std::byte* const data = freed->second.back();
  freed->second.pop_back();
  return data;
}

absl::StatusOr<std::byte*> SharedArena::TakeNew(size_t rounded) {
  MutexLock growing(&growing_mutex_);
  std::byte* data;
  std::vector<std::byte*> wanted;  // huge pages
  {
    MutexLock lock(&mutex_);
    const auto begin = [&](const Mapping& segment) {
      return rounded >= kPage ? (segment.used + kPage - 1) / kPage * kPage : segment.used;
    };
    if (segments_.empty() || begin(segments_.back()) + rounded > segments_.back().size) {
      PARLEY_RETURN_IF_ERROR(AddSegment(rounded));
    }
    Mapping& last = segments_.back();
    data = last.data + begin(last);
    last.used = begin(last) + rounded;
    if (rounded >= kLeastFilled && rounded <= kMostFilled) {
      const size_t whole = (last.used + kHugePage - 1) / kHugePage * kHugePage;
      wanted = TakeUntried(&last, last.used - rounded, std::min(whole, last.size));
    }
  }
  for (std::byte* const page : wanted) {
    // Of a range without any page the kernel makes no huge one.
    constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, which older headers lack
    if (madvise(page, kPage, kPopulateRead) == 0) MakeHuge(page);
  }
  return data;
}

void SharedArena::Free(std::byte* data, size_t rounded) {
  MutexLock lock(&mutex_);
  free_[rounded].push_back(data);
}

std::optional<SharedArena::Place> SharedArena::Find(const void* data, size_t size) const {
  MutexLock lock(&mutex_);
  return FindLocked({data, size});
}

std::vector<std::optional<SharedArena::Place>> SharedArena::FindAll(
    absl::Span<const Range> ranges) const {
  std::vector<std::optional<Place>> places;
  places.reserve(ranges.size());
  MutexLock lock(&mutex_);
  for (const Range& range : ranges) places.push_back(FindLocked(range));
  return places;
}

std::optional<SharedArena::Place> SharedArena::FindLocked(Range range) const {
  const auto* const begin = static_cast<const std::byte*>(range.data);
  auto it = by_address_.upper_bound(begin);
  if (it == by_address_.begin()) return std::nullopt;
  --it;
  const Mapping& segment = segments_[it->second];
  const size_t offset = static_cast<size_t>(begin - segment.data);
  if (offset > segment.size || range.size > segment.size - offset) return std::nullopt;
  return Place{it->second, offset};
}

std::vector<std::byte*> SharedArena::TakeUntried(Mapping* segment, size_t begin, size_t end) {
  std::vector<std::byte*> pages;
  segment->tried.resize(std::max(segment->tried.size(), end / kHugePage), false);
  for (size_t at = begin / kHugePage; at < end / kHugePage; ++at) {
    if (segment->tried[at]) continue;
    segment->tried[at] = true;
    pages.push_back(segment->data + at * kHugePage);
  }
  return pages;
}

void SharedArena::UseHugePages(Place place, size_t size) {
  std::vector<std::byte*> wanted;
  {
    MutexLock lock(&mutex_);
    Mapping& segment = segments_[place.segment];
    // Not of what has not been handed out: it would take memory.
    wanted = TakeUntried(&segment, place.offset,
                         std::min(place.offset + size + kHugePage - 1, segment.used));
  }
  for (std::byte* const page : wanted) MakeHuge(page);
}

SharedArena::Segment SharedArena::SegmentAt(uint32_t segment) const {
  MutexLock lock(&mutex_);
  return {segments_[segment].fd.get(), segments_[segment].size};
}

PeerSegments::Mapping::~Mapping() { munmap(const_cast<std::byte*>(data), size); }

absl::Status PeerSegments::Add(uint32_t segment, uint64_t size, UniqueFd fd) {
  if (segment != segments_.size() || segments_.size() >= kMaxSegments || size == 0 ||
      size > kMaxSegmentBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("shared memory: segment ", segment, " of ", size, " bytes is not to be had"));
  }
  struct stat status;
  const int seals = fd.valid() ? fcntl(fd.get(), F_GET_SEALS) : -1;
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd.get(), &status) != 0 ||
      static_cast<uint64_t>(status.st_size) != size) {
    return absl::InvalidArgumentError(
        "shared memory: a peer's segment is not memory of its size, sealed against shrinking");
  }
  void* const data = MapAligned(fd.get(), size, PROT_READ);
  if (data == MAP_FAILED) return SystemError(absl::StrCat("mapping ", size, " bytes"));
  segments_.push_back(
      std::shared_ptr<const Mapping>(new Mapping{static_cast<const std::byte*>(data), size}));
  return absl::OkStatus();
}

absl::StatusOr<PeerSegments::Piece> PeerSegments::Resolve(uint32_t segment, uint64_t offset,
                                                          uint64_t size) const {
  if (segment >= segments_.size() || offset > segments_[segment]->size ||
      size > segments_[segment]->size - offset) {
    return absl::InvalidArgumentError(absl::StrCat("shared memory: ", size, " bytes at ", offset,
                                                   " of segment ", segment, " are outside of it"));
  }
  return Piece{segments_[segment]->data + offset, segments_[segment]};
}

}  // namespace parley
