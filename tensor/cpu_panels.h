#ifndef PARLEY_TENSOR_CPU_PANELS_H_
#define PARLEY_TENSOR_CPU_PANELS_H_

#include <cstdint>
#include <memory>

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

// Memory for those, of `rows` rows.
template <typename W>
std::shared_ptr<W> NewPanels(Backend* backend, int64_t rows, int64_t columns) {
  const int64_t panels = (columns + kTileColumns<W> - 1) / kTileColumns<W>;
  return NewScratch<W>(backend, panels * rows * kTileColumns<W>);
}

// The order in which a transposed left side is read: rows [0, rows) of `a` as panels of kTileRows,
// in each of which the elements of a column lie together, columns [0, columns) one after the other.
// Panels begin `panel_stride` elements apart, at least columns * kTileRows + kTileColumns, as a
// panel's end is written over by up to kTileColumns elements.
template <typename T>
void PackColumns(const MatrixView<T>& a, int64_t rows, int64_t columns, int64_t panel_stride,
                 WorkType<T>* panels);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_PANELS_H_
