#include "base/mapped_file.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/prefetch.h"

namespace parley {
namespace {

// Where a thread goes on that reads mapped memory and cannot; null: it does not.
thread_local sigjmp_buf* reading = nullptr;

struct sigaction before;

void OnBusError(int signal, siginfo_t* info, void* context) {
  if (reading != nullptr) siglongjmp(*reading, 1);
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
    // Not blocked while it runs: it may be left by a jump.
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, &before) == 0;
  }();
  static_cast<void>(installed);
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

// Has no destructors to run: it may be left by a jump.
void MappedFile::CopyAll(absl::Span<const Piece> pieces, size_t size) const {
  constexpr size_t kAhead = 16;
  const auto ask = [&](size_t i) { PrefetchLines(At(pieces[i].offset), size); };
  for (size_t i = 0; i < std::min(kAhead, pieces.size()); ++i) ask(i);
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i + kAhead < pieces.size()) ask(i + kAhead);
    std::memcpy(pieces[i].out, At(pieces[i].offset), size);
  }
}

absl::Status MappedFile::Read(absl::Span<const Piece> pieces, size_t size) const {
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) {
    reading = nullptr;
    return absl::UnavailableError("cannot be read: the disk failed, or the file was made shorter");
  }
  reading = &here;
  CopyAll(pieces, size);
  reading = nullptr;
  return absl::OkStatus();
}

}  // namespace parley
