#include "tensor/cpu_rows.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"

namespace parley {
namespace {

// The indices as int64, each found to be in [0, rows).
std::vector<int64_t> IndicesOf(const Tensor& indices, int64_t rows) {
  CHECK(!IsFloating(indices.dtype()));
  std::vector<int64_t> result(static_cast<size_t>(indices.num_elements()));
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] =
        indices.dtype() == DType::kInt32 ? indices.As<int32_t>()[i] : indices.As<int64_t>()[i];
    CHECK(result[i] >= 0 && result[i] < rows)
        << "index " << result[i] << " at " << i << " of a table of " << rows << " rows";
  }
  return result;
}

void CheckTable(const Tensor& table, const Tensor& indices, const Tensor& rows) {
  CHECK(table.shape().rank() == 2 && table.dtype() == rows.dtype() &&
        rows.num_elements() == indices.num_elements() * table.shape()[1])
      << "rows " << NameOf(rows.dtype()) << rows.shape().ToString() << " of the table "
      << NameOf(table.dtype()) << table.shape().ToString() << " at indices "
      << indices.shape().ToString();
}

template <typename T>
void ScatterAdd(const T* rows, const std::vector<int64_t>& indices, int64_t width, T* table) {
  if constexpr (kIsWorkType<T>) {
    for (const int64_t index : indices) {
      MapLanes(
          width, Write::kAdd, table + index * width, [](Lanes<T> v) { return v; }, rows);
      rows += width;
    }
  } else {
    // All that is added to one row follows each other, so that it is rounded once.
    std::vector<int64_t> order(indices.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return indices[a] < indices[b]; });
    std::vector<float> sum(static_cast<size_t>(width));
    for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      T* const to = table + indices[order[begin]] * width;
      Widen(to, width, sum.data());
      for (; end < order.size() && indices[order[end]] == indices[order[begin]]; ++end) {
        MapLanes(
            width, Write::kAdd, sum.data(), [](__m256 v) { return v; }, rows + order[end] * width);
      }
      Narrow(sum.data(), width, Write::kReplace, to);
    }
  }
}

}  // namespace

void CpuGatherRows(const Tensor& table, const Tensor& indices, const Tensor& out) {
  CheckTable(table, indices, out);
  const size_t bytes = static_cast<size_t>(table.shape()[1]) * SizeOf(table.dtype());
  std::byte* to = out.As<std::byte>();
  for (const int64_t index : IndicesOf(indices, table.shape()[0])) {
    std::memcpy(to, table.As<std::byte>() + static_cast<size_t>(index) * bytes, bytes);
    to += bytes;
  }
}

void CpuScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                       const Tensor& dtable) {
  CheckTable(dtable, indices, rows);
  if (write == Write::kReplace && dtable.bytes() > 0) {
    std::memset(dtable.As<void>(), 0, dtable.bytes());
  }
  const std::vector<int64_t> places = IndicesOf(indices, dtable.shape()[0]);
  WithFloatingType(rows.dtype(), [&](auto zero) {
    using T = decltype(zero);
    ScatterAdd(rows.As<const T>(), places, dtable.shape()[1], dtable.As<T>());
  });
}

}  // namespace parley
