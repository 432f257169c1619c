#include "tensor/cpu_rows.h"

#include <cstring>
#include <vector>

#include "absl/container/flat_hash_map.h"
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
    // The rows that are added to, in float32 until all is added.
    absl::flat_hash_map<int64_t, int64_t> places;
    std::vector<float> sums;
    for (const int64_t index : indices) {
      const auto [found, inserted] = places.emplace(index, static_cast<int64_t>(sums.size()));
      if (inserted) {
        sums.resize(sums.size() + static_cast<size_t>(width));
        Widen(table + index * width, width, sums.data() + found->second);
      }
      MapLanes(
          width, Write::kAdd, sums.data() + found->second, [](__m256 v) { return v; }, rows);
      rows += width;
    }
    for (const auto& [index, place] : places) {
      Narrow(sums.data() + place, width, Write::kReplace, table + index * width);
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
