#include "ps/reused_buffers.h"

#include <cstring>

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(ReusedBuffersTest, WhatWasLetGoIsHandedOutAgainForItsSize) {
  const auto buffers = ReusedBuffers::Create();
  auto first = buffers->Take(1000);
  auto second = buffers->Take(1000);
  EXPECT_NE(first, second);
  const std::byte* const was = first.get();
  first = nullptr;
  EXPECT_NE(buffers->Take(2000).get(), was);
  EXPECT_EQ(buffers->Take(1000).get(), was);
}

TEST(ReusedBuffersTest, ABufferOutlivesWhoMadeIt) {
  auto buffers = ReusedBuffers::Create();
  const auto buffer = buffers->Take(100);
  buffers = nullptr;
  std::memset(buffer.get(), 1, 100);
}

TEST(ReusedBuffersTest, OfManySizesNotAllAreKept) {
  const auto buffers = ReusedBuffers::Create();
  for (size_t size = 1; size < 1000; ++size) {
    const auto buffer = buffers->Take(size);
    std::memset(buffer.get(), 1, size);
  }
}

TEST(ReusedBuffersTest, OfLargeOnesOnlySoManyBytesAreKept) {
  const auto buffers = ReusedBuffers::Create();
  for (const size_t size : {size_t{40} << 20, size_t{41} << 20, size_t{100} << 20}) {
    EXPECT_NE(buffers->Take(size), nullptr);
  }
}

}  // namespace
}  // namespace parley
