#include "net/grpc_wire.h"

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "net/testing/payloads.h"
#include "proto/parameter_server.pb.h"

namespace parley {
namespace {

std::string Flat(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// `bytes` in slices of `slice_size`.
grpc::ByteBuffer Buffer(const std::string& bytes, size_t slice_size = SIZE_MAX) {
  std::vector<grpc::Slice> slices;
  for (size_t offset = 0; offset < bytes.size(); offset += std::min(slice_size, bytes.size())) {
    slices.emplace_back(bytes.substr(offset, slice_size));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

v1::PushPullRequest SomeRequest() {
  v1::PushPullRequest request;
  request.mutable_sender()->set_job(
      "j\xc3\xb6"
      "b");
  request.mutable_sender()->set_incarnation(~uint64_t{0});
  request.set_step(-5);
  request.add_push(300);
  request.add_push(0);
  for (uint32_t i = 0; i < 300; ++i) request.add_pull(i * i);
  request.set_dtype(v1::FLOAT32);
  return request;
}

// Decodes `bytes` both ways and expects the same: protobuf with the payload in the message, or
// refused by both. Returns whether it was sound.
bool ExpectAsProtobuf(const std::string& bytes, size_t slice_size) {
  v1::PushPullRequest expected;
  const bool sound = expected.ParseFromString(bytes);
  v1::PushPullRequest decoded;
  Payload payload;
  const absl::Status status = DecodeMessage(Buffer(bytes, slice_size), &decoded, &payload);
  EXPECT_EQ(status.ok(), sound) << status;
  if (!sound || !status.ok()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return sound;
  }
  EXPECT_TRUE(decoded.payload().empty());
  decoded.set_payload(BytesOf(payload));
  EXPECT_EQ(decoded.SerializeAsString(), expected.SerializeAsString());
  return sound;
}

TEST(GrpcWire, WritesWhatProtobufWrites) {
  for (const size_t size : {0, 1, 3, 127, 128, 65536, 1'000'000}) {
    v1::PushPullRequest request = SomeRequest();
    const std::string bytes = RandomBytes(1, size);
    const auto buffer = EncodeMessage(request, MakePayload(bytes, 1000));
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    request.set_payload(bytes);
    EXPECT_TRUE(Flat(*buffer) == request.SerializeAsString()) << size;
  }
}

TEST(GrpcWire, ReadsBackWhatItWrote) {
  const std::string bytes = RandomBytes(2, 100'000);
  const auto buffer = EncodeMessage(SomeRequest(), MakePayload(bytes, 777));
  ASSERT_TRUE(buffer.ok());
  v1::PushPullRequest request;
  Payload payload;
  ASSERT_TRUE(DecodeMessage(*buffer, &request, &payload).ok());
  EXPECT_EQ(request.SerializeAsString(), SomeRequest().SerializeAsString());
  EXPECT_TRUE(BytesOf(payload) == bytes);
}

TEST(GrpcWire, CopiesNoByteOfLargeSlices) {
  const Payload payload = MakePayload(RandomBytes(3, 50'000), 25'000);
  const auto buffer = EncodeMessage(SomeRequest(), payload);
  ASSERT_TRUE(buffer.ok());
  v1::PushPullRequest request;
  Payload decoded;
  ASSERT_TRUE(DecodeMessage(*buffer, &request, &decoded).ok());
  ASSERT_EQ(decoded.slices().size(), 2u);
  EXPECT_EQ(decoded.slices()[0].data, payload.slices()[0].data);
  EXPECT_EQ(decoded.slices()[1].data, payload.slices()[1].data);
}

TEST(GrpcWire, SmallSlicesAreCopiedTogetherAndLetGo) {
  // Some small, a large one, small ones that fill more than one copy, and a large one at the end.
  Payload payload;
  std::string all;
  std::vector<std::weak_ptr<const std::string>> small;
  size_t large = 0;
  std::vector<size_t> sizes = {10, 3, 4'096};
  sizes.insert(sizes.end(), 20, 4'095);
  sizes.insert(sizes.end(), {1, 5, 20'000});
  for (const size_t size : sizes) {
    auto bytes = std::make_shared<const std::string>(RandomBytes(static_cast<int>(size), size));
    all += *bytes;
    payload.Append(bytes->data(), size, bytes);
    if (size < 4'096) {
      small.push_back(bytes);
    } else {
      ++large;
    }
  }
  const auto buffer = EncodeMessage(SomeRequest(), payload);
  ASSERT_TRUE(buffer.ok());
  payload = Payload();
  for (const auto& bytes : small) EXPECT_TRUE(bytes.expired());
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer->Dump(&slices).ok());
  EXPECT_EQ(slices.size(), large + 3);
  v1::PushPullRequest expected = SomeRequest();
  expected.set_payload(all);
  EXPECT_TRUE(Flat(*buffer) == expected.SerializeAsString());
}

TEST(GrpcWire, TheBufferHoldsTheOwnersAndTheDecodedPayloadHoldsTheBuffer) {
  auto owner = std::make_shared<const std::string>(RandomBytes(4, 50'000));
  const std::weak_ptr<const std::string> watch = owner;
  Payload decoded;
  {
    Payload payload;
    payload.Append(owner->data(), owner->size(), owner);
    const auto buffer = EncodeMessage(SomeRequest(), payload);
    ASSERT_TRUE(buffer.ok());
    owner.reset();
    v1::PushPullRequest request;
    ASSERT_TRUE(DecodeMessage(*buffer, &request, &decoded).ok());
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_TRUE(BytesOf(decoded) == RandomBytes(4, 50'000));
  decoded = Payload();
  EXPECT_TRUE(watch.expired());
}

TEST(GrpcWire, FieldsMayStandInAnyOrderAndTheLastPayloadCounts) {
  v1::PushPullRequest with_payload = SomeRequest();
  with_payload.set_payload("the first");
  v1::PushPullRequest tail;
  tail.set_step(77);
  tail.set_payload("the last one");
  const std::string last_one = tail.SerializeAsString();
  tail.clear_payload();
  const std::string bytes = with_payload.SerializeAsString() + last_one + tail.SerializeAsString();
  for (size_t slice_size = 1; slice_size < 20; ++slice_size) {
    EXPECT_TRUE(ExpectAsProtobuf(bytes, slice_size));
    v1::PushPullRequest request;
    Payload payload;
    ASSERT_TRUE(DecodeMessage(Buffer(bytes, slice_size), &request, &payload).ok());
    EXPECT_EQ(BytesOf(payload), "the last one");
    EXPECT_EQ(request.step(), 77);
  }
}

TEST(GrpcWire, UnknownFieldsAndGroupsAreKeptApartFromThePayload) {
  // Field 100 varint; group 20 that has a field 15 of its own; field 15 as a varint; then the
  // payload "ab".
  const std::string bytes(
      "\xa0\x06\x05\xa3\x01\x7a\x01x\xa4\x01\x78\x07\x7a\x02"
      "ab",
      16);
  EXPECT_TRUE(ExpectAsProtobuf(bytes, 3));
  v1::PushPullRequest request;
  Payload payload;
  ASSERT_TRUE(DecodeMessage(Buffer(bytes), &request, &payload).ok());
  EXPECT_EQ(BytesOf(payload), "ab");
}

TEST(GrpcWire, AnEmptyBufferIsAnEmptyMessage) {
  v1::PushPullRequest request;
  Payload payload;
  EXPECT_TRUE(DecodeMessage(Buffer(""), &request, &payload).ok());
  EXPECT_TRUE(payload.empty());
  v1::JoinRequest join;
  EXPECT_TRUE(DecodeMessage(grpc::ByteBuffer(), &join, nullptr).ok());
}

TEST(GrpcWire, RefusesWhatIsMalformed) {
  const std::vector<std::string> malformed = {
      std::string(1, '\0'),  // field number 0
      "\x7a",                // no length
      "\x7a\x05"
      "abc",                                               // too short
      "\x7a\xff\xff\xff\xff\x0f",                          // 4 GiB
      "\x7a\xff\xff\xff\xff\xff\xff\xff\xff\x01",          // 2^64
      "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  // a varint of 11 bytes
      "\xff\xff\xff\xff\xff\xff",                          // an endless tag
      "\xa3\x01",                                          // a group that does not end
      "\xa4\x01",                                          // one that did not begin
      "\xa3\x01\x9c\x01",                                  // one that ends as another
      "\x7e",                                              // wire type 6
      "\x79"
      "1234567",               // fixed64, too short
      "\x0a\x03\x0a\x01\xff",  // a job's name that is not UTF-8
  };
  for (size_t i = 0; i < malformed.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_FALSE(ExpectAsProtobuf(malformed[i], SIZE_MAX));
    EXPECT_FALSE(ExpectAsProtobuf(malformed[i], 1));
  }
  v1::JoinRequest join;
  EXPECT_EQ(DecodeMessage(Buffer("\x7a"), &join, nullptr).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(GrpcWire, EveryTruncationIsJudgedAsProtobufJudgesIt) {
  v1::PushPullRequest request = SomeRequest();
  request.set_payload(RandomBytes(5, 300));
  const std::string bytes = request.SerializeAsString();
  for (size_t size = 0; size <= bytes.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectAsProtobuf(bytes.substr(0, size), 1 + size % 7);
  }
}

TEST(GrpcWire, RandomDamageIsJudgedAsProtobufJudgesIt) {
  const uint32_t seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  v1::PushPullRequest request;
  request.mutable_sender()->set_job("job");
  request.set_step(300);
  request.add_push(3);
  request.add_pull(9);
  request.set_payload(RandomBytes(6, 20));
  const std::string sound_bytes = request.SerializeAsString();
  int sound = 0;
  for (int i = 0; i < 40'000; ++i) {
    std::string bytes = sound_bytes;
    if (i % 2 == 0) {
      bytes = RandomBytes(random(), random() % 12);
    } else {
      for (int damage = random() % 3; damage >= 0; --damage) {
        const size_t at = random() % bytes.size();
        switch (random() % 3) {
          case 0:
            bytes[at] = static_cast<char>(random());
            break;
          case 1:
            bytes.erase(at, 1);
            break;
          default:
            bytes.insert(at, 1, static_cast<char>(random()));
        }
      }
    }
    sound += ExpectAsProtobuf(bytes, 1 + random() % 9) ? 1 : 0;
    if (testing::Test::HasFailure()) {
      FAIL() << "seed " << seed << ", case " << i << ": " << testing::PrintToString(bytes);
    }
  }
  EXPECT_GT(sound, 1000);
}

class QuietProtobuf : public testing::Environment {
 public:
  // It logs every string that is not UTF-8.
  void SetUp() override { google::protobuf::SetLogHandler(nullptr); }
};
const auto* const kQuiet = testing::AddGlobalTestEnvironment(new QuietProtobuf);

}  // namespace
}  // namespace parley
