#include "net/payload.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "net/testing/payloads.h"

namespace parley {
namespace {

TEST(Payload, EmptyPiecesAreNoSlices) {
  Payload payload;
  payload.Append("", 0, nullptr);
  payload.Append(Payload());
  EXPECT_TRUE(payload.empty());
  EXPECT_TRUE(payload.slices().empty());
  EXPECT_EQ(BytesOf(payload), "");
}

TEST(Payload, ReadsItsSlicesAsOneSequence) {
  Payload payload = MakePayload("hello", 2);
  payload.Append(MakePayload(", world", 3));
  EXPECT_EQ(payload.size(), 12u);
  EXPECT_EQ(payload.slices().size(), 6u);
  EXPECT_EQ(BytesOf(payload), "hello, world");
}

TEST(Payload, EverySubrangeIsItsBytes) {
  const std::string bytes = "abcdefghij";
  const Payload payload = MakePayload(bytes, 3);
  for (size_t begin = 0; begin <= bytes.size(); ++begin) {
    for (size_t size = 0; begin + size <= bytes.size(); ++size) {
      const Payload part = payload.Sub(begin, size);
      EXPECT_EQ(part.size(), size);
      EXPECT_EQ(BytesOf(part), bytes.substr(begin, size));
    }
  }
}

TEST(PayloadReader, CutsTheBytesInOrder) {
  const std::string bytes = "abcdefghij";
  for (size_t slice = 1; slice <= bytes.size(); ++slice) {
    const Payload payload = MakePayload(bytes, slice);
    PayloadReader reader(payload);
    std::string read;
    for (const size_t size : {0u, 1u, 3u, 0u, 4u, 2u, 0u}) {
      const Payload part = reader.Take(size);
      EXPECT_EQ(part.size(), size);
      read += BytesOf(part);
      EXPECT_EQ(reader.left(), bytes.size() - read.size());
    }
    EXPECT_EQ(read, bytes);
  }
}

TEST(Payload, APartKeepsTheMemoryAlive) {
  auto owner = std::make_shared<const std::string>("abcdef");
  const std::weak_ptr<const std::string> watch = owner;
  Payload part;
  {
    Payload whole;
    whole.Append(owner->data(), owner->size(), owner);
    owner.reset();
    part = whole.Sub(2, 3);
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(BytesOf(part), "cde");
  part = Payload();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace parley
