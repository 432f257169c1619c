#include "tensor/tensor.h"

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "gtest/gtest.h"
#include "tensor/cpu_backend.h"

namespace parley {
namespace {

TEST(ShapeTest, CountsElementsAndRows) {
  EXPECT_EQ(Shape().num_elements(), 1);
  EXPECT_EQ(Shape().rows(), 1);
  EXPECT_EQ((Shape{2, 3, 4}).num_elements(), 24);
  EXPECT_EQ((Shape{2, 3, 4}).rows(), 6);
  EXPECT_EQ((Shape{0, 4}).num_elements(), 0);
  EXPECT_EQ((Shape{0, 4}).rows(), 0);
  EXPECT_EQ((Shape{4, 0}).rows(), 4);
  EXPECT_EQ((Shape{2, 3, 4}).ToString(), "[2, 3, 4]");
  EXPECT_EQ(Shape(std::vector<int64_t>{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
}

TEST(TensorTest, BeginsAlignedWhateverItsSize) {
  std::vector<Tensor> tensors;
  for (int64_t size = 0; size < 40; ++size) {
    tensors.emplace_back(CpuBackend(), Shape{size});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensors.back().data()) % kBufferAlignment, 0u) << size;
    EXPECT_EQ(tensors.back().bytes(), 4 * static_cast<size_t>(size));
  }
}

TEST(TensorTest, CopiesAndReshapesShareElements) {
  const Tensor tensor(CpuBackend(), {2, 3});
  const Tensor copy = tensor, reshaped = tensor.Reshape({3, 2, 1});
  tensor.data()[5] = 7;
  EXPECT_EQ(copy.span()[5], 7);
  EXPECT_EQ(reshaped.span()[5], 7);
  EXPECT_EQ(reshaped.shape(), (Shape{3, 2, 1}));
}

TEST(TensorTest, BorrowedMemoryIsUsedInPlaceAndNotFreed) {
  alignas(kBufferAlignment) static float memory[4] = {1, 2, 3, 4};
  {
    const Tensor tensor = Tensor::Borrow(CpuBackend(), {4}, memory);
    EXPECT_EQ(tensor.data(), memory);
    CpuBackend()->Fill(9, tensor);
  }
  EXPECT_EQ(memory[3], 9);
}

TEST(TensorTest, MemoryOfATensorThatIsGoneServesTheNext) {
  const float* const before = Tensor(CpuBackend(), {12345}).data();
  const Tensor next(CpuBackend(), {12345});
  EXPECT_EQ(next.data(), before);
}

TEST(TensorDeathTest, RefusesBorrowedMemoryThatIsNotAligned) {
  alignas(kBufferAlignment) static float memory[4] = {};
  EXPECT_DEATH(Tensor::Borrow(CpuBackend(), {3}, memory + 1), "kBufferAlignment");
}

}  // namespace
}  // namespace parley
