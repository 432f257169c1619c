#include "cuda/kernels/testing/host_device.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "cuda/kernels/sort_pairs.h"
#include "glog/logging.h"

dim3 gridDim, blockDim;
uint3 blockIdx, threadIdx;

namespace parley {
namespace host_device {
namespace {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = size_t{64} << 10;

// Threads that wait for each other: `size` of them.
struct Barrier {
  int size = 0;
  int arrived = 0;
  int64_t generation = 0;
};

struct Warp {
  Barrier barrier;
  // Those of one exchange are read while those of the next are written.
  double slots[2][kWarp] = {};
};

// It is made once, and treats one thread after the other.
struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  ucontext_t start;
  jmp_buf place;
  bool started = false;
  bool ended = false;
  uint3 thread;
  // Waits until this one has another generation.
  const Barrier* barrier = nullptr;
  int64_t generation = 0;
};

// The block that runs.
struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  Barrier barrier;
  const std::function<void()>* thread = nullptr;
  jmp_buf scheduler;
  int current = 0;
  uint32_t order = 1;  // changes on each turn
};

Block& TheBlock() {
  static Block* const block = new Block;
  return *block;
}

Fiber& Current() { return *TheBlock().fibers[TheBlock().current]; }
Warp& CurrentWarp() { return TheBlock().warps[TheBlock().current / kWarp]; }

// swapcontext would do, but for its two system calls.
void BackToScheduler() {
  if (_setjmp(Current().place) == 0) _longjmp(TheBlock().scheduler, 1);
}

void Resume(Fiber* fiber) {
  if (_setjmp(TheBlock().scheduler) != 0) return;
  if (fiber->started) _longjmp(fiber->place, 1);
  fiber->started = true;
  setcontext(&fiber->start);
}

void Enter() {
  while (true) {
    (*TheBlock().thread)();
    Current().ended = true;
    BackToScheduler();
  }
}

std::unique_ptr<Fiber> NewFiber() {
  auto fiber = std::make_unique<Fiber>();
  getcontext(&fiber->start);
  fiber->start.uc_stack.ss_sp = fiber->stack.get();
  fiber->start.uc_stack.ss_size = kStackBytes;
  fiber->start.uc_link = nullptr;
  makecontext(&fiber->start, Enter, 0);
  return fiber;
}

void Wait(Barrier* barrier) {
  Fiber& fiber = Current();
  fiber.barrier = barrier;
  fiber.generation = barrier->generation;
  if (++barrier->arrived == barrier->size) {
    barrier->arrived = 0;
    ++barrier->generation;
  }
  BackToScheduler();
}

// All threads of the block whose index is set, to their ends.
void RunBlock(int threads) {
  Block& block = TheBlock();
  block.barrier = {threads, 0, 0};
  block.warps.assign((threads + kWarp - 1) / kWarp, Warp());
  for (int i = 0; i < threads; ++i) {
    ++block.warps[i / kWarp].barrier.size;
    Fiber& fiber = *block.fibers[i];
    const auto place = static_cast<unsigned>(i);
    fiber.thread = {place % blockDim.x, place / blockDim.x, 0};
    fiber.ended = false;
    fiber.barrier = nullptr;
  }
  for (int left = threads; left > 0;) {
    block.order = block.order * 1664525 + 1013904223;
    const int first = static_cast<int>((block.order >> 8) % static_cast<unsigned>(threads));
    const int step = (block.order >> 30) % 2 == 0 ? 1 : threads - 1;
    bool all_wait = true;
    for (int64_t k = 0; k < threads; ++k) {
      const int i = static_cast<int>((first + k * step) % threads);
      Fiber& fiber = *block.fibers[i];
      if (fiber.ended) continue;
      if (fiber.barrier != nullptr && fiber.barrier->generation == fiber.generation) continue;
      all_wait = false;
      block.current = i;
      threadIdx = fiber.thread;
      Resume(&fiber);
      if (fiber.ended) --left;
    }
    CHECK(!all_wait) << "threads wait at a barrier that others have passed by";
  }
}

}  // namespace

void Run(dim3 blocks, dim3 threads, const std::function<void()>& thread) {
  Block& block = TheBlock();
  const int size = static_cast<int>(threads.x * threads.y);
  CHECK(size > 0 && size <= 1024 && threads.z == 1) << size << " threads in a block";
  CHECK(blocks.x > 0 && blocks.y == 1 && blocks.z == 1) << blocks.x << " blocks";
  while (block.fibers.size() < static_cast<size_t>(size)) block.fibers.push_back(NewFiber());
  block.thread = &thread;
  gridDim = blocks;
  blockDim = threads;
  for (unsigned i = 0; i < blocks.x; ++i) {
    blockIdx = {i, 0, 0};
    RunBlock(size);
  }
}

void WaitForBlock() { Wait(&TheBlock().barrier); }

const double* Exchange(double value) {
  Warp& warp = CurrentWarp();
  double* const slots = warp.slots[warp.barrier.generation % 2];
  slots[Lane()] = value;
  Wait(&warp.barrier);
  return slots;
}

int Lane() { return TheBlock().current % kWarp; }
void Trap() { LOG(FATAL) << "a kernel stopped the device"; }

}  // namespace host_device

// Takes the place of sort_pairs.cu, whose algorithm is CUB's.
cudaError_t SortPairsScratchBytes(int64_t /*count*/, size_t* bytes) {
  *bytes = 0;
  return cudaSuccess;
}

cudaError_t LaunchSortPairs(const uint32_t* keys, const int32_t* values, int64_t count, int bits,
                            uint32_t* sorted_keys, int32_t* sorted_values, void* /*scratch*/,
                            size_t /*scratch_bytes*/, cudaStream_t /*stream*/) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  std::vector<int64_t> order(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return (keys[a] & mask) < (keys[b] & mask); });
  for (int64_t i = 0; i < count; ++i) {
    sorted_keys[i] = keys[order[i]];
    sorted_values[i] = values[order[i]];
  }
  return cudaSuccess;
}

}  // namespace parley
