#include "base/mapped_file.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/prefetch.h"

namespace parley {
namespace {

// What a thread reads.
struct Reading {
  absl::Span<std::byte* const> chunks;
  size_t chunk_size;
  std::atomic<bool>* lost;
};

// Null: it reads nothing that is mapped.
thread_local std::atomic<const Reading*> reading{nullptr};

struct sigaction before;

// In a signal's handler, where a thread cannot read `address`: whether it can now.
bool PutZeros(const Reading& of, const void* address) {
  const auto* const at = static_cast<const std::byte*>(address);
  for (std::byte* const chunk : of.chunks) {
    if (at < chunk || at >= chunk + of.chunk_size) continue;
    of.lost->store(true);
    // The whole chunk, so that no mapping is split, of which a process may have so many. By its
    // number, as ThreadSanitizer takes mmap() for a write, and who reads beside it for a race.
    return syscall(SYS_mmap, chunk, of.chunk_size, PROT_READ,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != -1;
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const Reading* const of = reading.load(std::memory_order_relaxed);
  const bool goes_on = of != nullptr && PutZeros(*of, info->si_addr);
  errno = error;
  if (goes_on) return;
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    return before.sa_handler(signal);
  }
  sigaction(SIGBUS, &before, nullptr);  // the instruction comes again, and with it the end
}

void InstallHandler() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = &OnBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, &before) == 0;
  }();
  static_cast<void>(installed);
}

absl::Status CannotBeRead() {
  return absl::UnavailableError("cannot be read: the disk failed, or the file was made shorter");
}

}  // namespace

MappedFile::~MappedFile() {
  for (std::byte* const chunk : chunks_) munmap(chunk, size_t{1} << kShift);
}

absl::Status MappedFile::Map(int64_t size) {
  InstallHandler();
  while (static_cast<int64_t>(chunks_.size()) << kShift < size) {
    const off_t begin = static_cast<off_t>(chunks_.size()) << kShift;
    void* const chunk = mmap(nullptr, size_t{1} << kShift, PROT_READ, MAP_SHARED, file_, begin);
    if (chunk == MAP_FAILED) {
      return absl::UnavailableError(absl::StrCat("cannot map a file: ", strerror(errno)));
    }
    madvise(chunk, size_t{1} << kShift, MADV_RANDOM);  // advice: what comes of it does not matter
    chunks_.push_back(static_cast<std::byte*>(chunk));
  }
  return absl::OkStatus();
}

void MappedFile::CopyAll(absl::Span<const Piece> pieces, size_t size) const {
  constexpr size_t kAhead = 16;
  const auto ask = [&](size_t i) { PrefetchLines(At(pieces[i].offset), size); };
  for (size_t i = 0; i < std::min(kAhead, pieces.size()); ++i) ask(i);
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i + kAhead < pieces.size()) ask(i + kAhead);
    std::memcpy(pieces[i].out, At(pieces[i].offset), size);
  }
}

absl::Status MappedFile::ReadWithCalls(absl::Span<const Piece> pieces, size_t size) const {
  for (const Piece& piece : pieces) {
    for (size_t done = 0; done < size;) {
      const ssize_t n =
          pread(file_, piece.out + done, size - done, piece.offset + static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return CannotBeRead();
      done += static_cast<size_t>(n);
    }
  }
  return absl::OkStatus();
}

absl::Status MappedFile::Read(absl::Span<const Piece> pieces, size_t size) const {
  const Reading mine{chunks_, size_t{1} << kShift, &lost_};
  reading.store(&mine, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  CopyAll(pieces, size);
  // What was copied was loaded before lost_ is: x86-64 does loads in their order.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  reading.store(nullptr, std::memory_order_relaxed);
  return lost_.load() ? ReadWithCalls(pieces, size) : absl::OkStatus();
}

}  // namespace parley
