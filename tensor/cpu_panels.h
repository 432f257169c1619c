#ifndef PARLEY_TENSOR_CPU_PANELS_H_
#define PARLEY_TENSOR_CPU_PANELS_H_

#include <cstdint>

#include "tensor/cpu_tile.h"
#include "tensor/cpu_widen.h"

namespace parley {

// A matrix in memory, read as it is or transposed: element (i, j) of it is data[i * stride + j], or
// data[j * stride + i] if `transposed`.
template <typename T>
struct MatrixView {
  const T* data;
  int64_t stride;
  bool transposed;

  const T* At(int64_t i, int64_t j) const {
    return transposed ? data + j * stride + i : data + i * stride + j;
  }
};

// The order in which a product's right side is read (cpu_tile.h): columns [0, columns) of `b` as
// panels of kTileColumns, each with rows [0, rows), missing columns zero. Panels begin
// `panel_stride` elements apart.
template <typename T>
void PackPanels(const MatrixView<T>& b, int64_t rows, int64_t columns, int64_t panel_stride,
                WorkType<T>* panels);

// The same for a transposed left side: rows [0, rows) of `a` as panels of kTileRows, in each of
// which the elements of a column lie together, columns [0, columns) one after the other. Panels
// begin `panel_stride` elements apart, at least columns * kTileRows + kTileColumns, as a panel's
// end is written over by up to kTileColumns elements.
template <typename T>
void PackColumns(const MatrixView<T>& a, int64_t rows, int64_t columns, int64_t panel_stride,
                 WorkType<T>* panels);

#define PARLEY_DECLARE_PACKING(T)                                                      \
  extern template void PackPanels<T>(const MatrixView<T>&, int64_t, int64_t, int64_t,  \
                                     WorkType<T>*);                                    \
  extern template void PackColumns<T>(const MatrixView<T>&, int64_t, int64_t, int64_t, \
                                      WorkType<T>*);
PARLEY_DECLARE_PACKING(float)
PARLEY_DECLARE_PACKING(double)
PARLEY_DECLARE_PACKING(Eigen::half)
PARLEY_DECLARE_PACKING(Eigen::bfloat16)
#undef PARLEY_DECLARE_PACKING

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_PANELS_H_
