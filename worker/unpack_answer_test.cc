#include "worker/unpack_answer.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

using PushPullReply = ParameterServer::PushPullReply;
using ::testing::ElementsAre;

// The answer to two pulls, of three elements and two, in slices of `slice` bytes.
PushPullReply Answer(v1::DType dtype, size_t slice) {
  const std::vector<float> values = {1, -2, 0.5f, 1024, -0.0625f};
  auto bytes = std::make_shared<std::vector<char>>(values.size() * WireBytes(dtype));
  ToWire(dtype, values.data(), values.size(), bytes->data());
  PushPullReply reply;
  for (int i = 0; i < 2; ++i) reply.response.add_version(7);
  for (size_t begin = 0; begin < bytes->size(); begin += slice) {
    reply.payload.Append(bytes->data() + begin, std::min(slice, bytes->size() - begin), bytes);
  }
  return reply;
}

TEST(UnpackAnswerTest, FillsTheTargetsWhateverTheTypeAndTheSlices) {
  for (const v1::DType dtype : {v1::FLOAT32, v1::BFLOAT16, v1::FLOAT16}) {
    for (size_t slice = 1; slice < 22; ++slice) {
      std::vector<float> first(3), second(2);
      const absl::Status status = UnpackAnswer(0, dtype, Answer(dtype, slice),
                                               {absl::MakeSpan(first), absl::MakeSpan(second)});
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_THAT(first, ElementsAre(1, -2, 0.5f)) << slice;
      EXPECT_THAT(second, ElementsAre(1024, -0.0625f)) << slice;
    }
  }
}

TEST(UnpackAnswerTest, AnAnswerOfAnotherTypeOrShapeIsRefusedAndNothingIsWritten) {
  std::vector<float> first(3, 9), second(2, 9);
  const std::vector<absl::Span<float>> targets = {absl::MakeSpan(first), absl::MakeSpan(second)};
  EXPECT_EQ(UnpackAnswer(0, v1::FLOAT32, Answer(v1::BFLOAT16, 5), targets).code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(UnpackAnswer(0, v1::FLOAT16, Answer(v1::FLOAT32, 5), targets).code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(UnpackAnswer(1, v1::FLOAT32, Answer(v1::FLOAT32, 5), targets).code(),
            absl::StatusCode::kInternal);
  PushPullReply negative = Answer(v1::FLOAT32, 5);
  negative.response.set_version(1, -1);
  EXPECT_EQ(UnpackAnswer(0, v1::FLOAT32, negative, targets).code(), absl::StatusCode::kInternal);
  EXPECT_THAT(first, ElementsAre(9, 9, 9));
}

}  // namespace
}  // namespace parley
