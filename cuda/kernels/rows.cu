#include "cuda/kernels/divisor.h"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/rows.h"
#include "cuda/kernels/sort_pairs.h"
#include "cuda/kernels/types.cuh"

namespace parley {
namespace {

constexpr int kWarp = 32;
constexpr int kWarps = 8;
// Columns that a lane sums at once.
constexpr int kColumns = 4;
constexpr int64_t kScratchAlignment = 256;

// The place of an index that must be in [0, rows).
template <typename IndexType>
__device__ __forceinline__ int64_t Checked(IndexType index, int64_t rows) {
  const int64_t row = static_cast<int64_t>(index);
  if (row < 0 || row >= rows) __trap();
  return row;
}

// Rows of `width` words.
template <typename Word, typename IndexType>
struct GatherBody {
  const Word* table;
  int64_t rows;
  Divisor<uint64_t> width;
  const IndexType* indices;
  Word* out;

  template <int N>
  __device__ void At(int64_t i) const {
    static_assert(N == 1, "neighbours are joined into a wider Word");
    // 32-bit divisions, where they do, are much faster.
    const uint64_t position =
        i >> 32 == 0 && width.divisor() >> 32 == 0
            ? static_cast<uint32_t>(i) / static_cast<uint32_t>(width.divisor())
            : width.Quotient(i);
    const uint64_t column = i - position * width.divisor();
    const int64_t row = Checked(indices[position], rows);
    out[i] = table[row * static_cast<int64_t>(width.divisor()) + static_cast<int64_t>(column)];
  }
};

template <typename Word>
cudaError_t Gather(const void* table, int64_t rows, int64_t row_bytes, const void* indices,
                   DType index_dtype, int64_t count, void* out, cudaStream_t stream) {
  const int64_t words = row_bytes / static_cast<int64_t>(sizeof(Word));
  return WithIndexType(index_dtype, [&](auto tag) {
    using IndexType = typename decltype(tag)::Type;
    const GatherBody<Word, IndexType> body{
        static_cast<const Word*>(table), rows, Divisor<uint64_t>(words),
        static_cast<const IndexType*>(indices), static_cast<Word*>(out)};
    return LaunchMap<1>(body, count * words, false, stream);
  });
}

// keys[i] = indices[i], positions[i] = i
template <typename IndexType>
struct KeysBody {
  const IndexType* indices;
  int64_t rows;
  uint32_t* keys;
  int32_t* positions;

  template <int N>
  __device__ void At(int64_t i) const {
    static_assert(N == 1, "");
    keys[i] = static_cast<uint32_t>(Checked(indices[i], rows));
    positions[i] = static_cast<int32_t>(i);
  }
};

// A warp for each place in the sorted keys and each kWarp * kColumns columns; those where a run of
// equal keys begins sum the run.
template <typename T>
__global__ void __launch_bounds__(kWarp* kWarps)
    SumRunsKernel(const T* x, const uint32_t* keys, const int32_t* positions, int64_t count,
                  int64_t width, int64_t chunks, bool add, T* dtable) {
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y;
  const int64_t begin = warp / chunks;
  if (begin >= count) return;
  const uint32_t key = keys[begin];
  if (begin > 0 && keys[begin - 1] == key) return;
  // The run's end first, so that the loads of its rows need not wait for each other.
  int64_t end = begin;
  unsigned others = 0;
  while (others == 0) {
    const int64_t probe = end + threadIdx.x;
    others = __ballot_sync(0xffffffff, probe >= count || keys[probe] != key);
    end += others == 0 ? kWarp : __ffs(static_cast<int>(others)) - 1;
  }
  const int64_t first = warp % chunks * (kWarp * kColumns) + threadIdx.x;

  T* out = dtable + static_cast<int64_t>(key) * width;
  Work<T> sums[kColumns];
#pragma unroll
  for (int k = 0; k < kColumns; ++k) {
    const int64_t column = first + k * kWarp;
    sums[k] = add && column < width ? ToWork(out[column]) : Work<T>(0);
  }
#pragma unroll 4
  for (int64_t i = begin; i < end; ++i) {
    const T* row = x + static_cast<int64_t>(positions[i]) * width;
#pragma unroll
    for (int k = 0; k < kColumns; ++k) {
      const int64_t column = first + k * kWarp;
      if (column < width) sums[k] += ToWork(row[column]);
    }
  }
#pragma unroll
  for (int k = 0; k < kColumns; ++k) {
    const int64_t column = first + k * kWarp;
    if (column < width) out[column] = Convert<T>(sums[k]);
  }
}

// Of keys, or positions, of `count` indices.
int64_t PartBytes(int64_t count) {
  return CeilDivide(count * int64_t{4}, kScratchAlignment) * kScratchAlignment;
}

// The scratch memory's parts: keys and positions, unsorted and sorted, and what the sort needs.
struct SortScratch {
  SortScratch(void* scratch, int64_t count) {
    const int64_t part_bytes = PartBytes(count);
    char* at = static_cast<char*>(scratch);
    keys = reinterpret_cast<uint32_t*>(at);
    sorted_keys = reinterpret_cast<uint32_t*>(at + part_bytes);
    positions = reinterpret_cast<int32_t*>(at + 2 * part_bytes);
    sorted_positions = reinterpret_cast<int32_t*>(at + 3 * part_bytes);
    rest = at + 4 * part_bytes;
  }

  uint32_t* keys;
  uint32_t* sorted_keys;
  int32_t* positions;
  int32_t* sorted_positions;
  void* rest;
};

}  // namespace

cudaError_t LaunchGatherRows(const void* table, int64_t rows, int64_t width, DType dtype,
                             const void* indices, DType index_dtype, int64_t count, void* out,
                             cudaStream_t stream) {
  if (count == 0 || width == 0) return cudaSuccess;
  const int64_t bytes = width * static_cast<int64_t>(SizeOf(dtype));
  const uint64_t all = static_cast<uint64_t>(bytes) | reinterpret_cast<uintptr_t>(table) |
                       reinterpret_cast<uintptr_t>(out);
  if (all % 16 == 0) {
    return Gather<uint4>(table, rows, bytes, indices, index_dtype, count, out, stream);
  }
  if (all % 8 == 0) {
    return Gather<uint64_t>(table, rows, bytes, indices, index_dtype, count, out, stream);
  }
  if (all % 4 == 0) {
    return Gather<uint32_t>(table, rows, bytes, indices, index_dtype, count, out, stream);
  }
  return Gather<uint16_t>(table, rows, bytes, indices, index_dtype, count, out, stream);
}

cudaError_t ScatterAddRowsScratchBytes(int64_t count, size_t* bytes) {
  *bytes = 0;
  if (count == 0) return cudaSuccess;
  if (count < 0 || count >= int64_t{1} << 31) return cudaErrorInvalidValue;
  size_t sort_bytes = 0;
  const cudaError_t error = SortPairsScratchBytes(count, &sort_bytes);
  *bytes = static_cast<size_t>(4 * PartBytes(count)) + sort_bytes;
  return error;
}

cudaError_t LaunchScatterAddRows(const void* x, const void* indices, DType index_dtype,
                                 int64_t count, DType dtype, Write write, void* dtable,
                                 int64_t rows, int64_t width, void* scratch, size_t scratch_bytes,
                                 cudaStream_t stream) {
  const bool add = write == Write::kAdd;
  if (rows == 0 || width == 0) return cudaSuccess;
  if (!add) {
    const cudaError_t error =
        cudaMemsetAsync(dtable, 0, static_cast<size_t>(rows * width) * SizeOf(dtype), stream);
    if (error != cudaSuccess) return error;
  }
  if (count == 0) return cudaSuccess;
  if (count >= int64_t{1} << 31 || rows >= int64_t{1} << 32) return cudaErrorInvalidValue;

  const SortScratch parts(scratch, count);
  cudaError_t error = WithIndexType(index_dtype, [&](auto tag) {
    using IndexType = typename decltype(tag)::Type;
    const KeysBody<IndexType> body{static_cast<const IndexType*>(indices), rows, parts.keys,
                                   parts.positions};
    return LaunchMap<1>(body, count, false, stream);
  });
  if (error != cudaSuccess) return error;
  int bits = 1;
  while (bits < 32 && rows > int64_t{1} << bits) ++bits;
  error = LaunchSortPairs(parts.keys, parts.positions, count, bits, parts.sorted_keys,
                          parts.sorted_positions, parts.rest,
                          scratch_bytes - static_cast<size_t>(4 * PartBytes(count)), stream);
  if (error != cudaSuccess) return error;

  const int64_t chunks = CeilDivide(width, kWarp * kColumns);
  const int64_t blocks = CeilDivide(count * chunks, kWarps);
  if (blocks >= int64_t{1} << 31) return cudaErrorInvalidValue;
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    return LaunchKernel(SumRunsKernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(kWarp, kWarps),
                        stream, static_cast<const T*>(x), parts.sorted_keys, parts.sorted_positions,
                        count, width, chunks, add, static_cast<T*>(dtable));
  });
}

}  // namespace parley
