#include "net/worker_counts.h"

#include <gtest/gtest.h>

namespace parley {
namespace {

TEST(WorkerCountsTest, EachStepHasTheNumberThatWasSaidLastBeforeIt) {
  WorkerCounts counts(4);
  EXPECT_EQ(counts.At(0), 4);
  EXPECT_TRUE(counts.Add(10, 6).ok());
  EXPECT_TRUE(counts.Add(20, 2).ok());
  EXPECT_EQ(counts.At(9), 4);
  EXPECT_EQ(counts.At(10), 6);
  EXPECT_EQ(counts.At(19), 6);
  EXPECT_EQ(counts.At(1000), 2);
  EXPECT_EQ(counts.first(), 4);
  EXPECT_EQ(counts.last(), 2);
  EXPECT_EQ(counts.most(), 6);
}

TEST(WorkerCountsTest, WhatIsKnownChangesNothing) {
  WorkerCounts counts(4);
  EXPECT_TRUE(counts.Add(10, 6).ok());
  EXPECT_TRUE(counts.Add(10, 6).ok());
  EXPECT_TRUE(counts.Add(15, 6).ok());
  EXPECT_TRUE(counts.Add(5, 4).ok());
  EXPECT_EQ(counts.changes().size(), 1u);
}

TEST(WorkerCountsTest, AWorkerIsAMemberFromTheStepThatHasItOn) {
  WorkerCounts counts(2);
  ASSERT_TRUE(counts.Add(10, 4).ok());
  ASSERT_TRUE(counts.Add(20, 1).ok());
  EXPECT_EQ(counts.NextStepOf(0, 25), 25);
  EXPECT_EQ(counts.NextStepOf(1, 3), 3);
  EXPECT_EQ(counts.NextStepOf(3, 3), 10);
  EXPECT_EQ(counts.NextStepOf(3, 12), 12);
  EXPECT_EQ(counts.NextStepOf(3, 20), absl::nullopt);
  EXPECT_EQ(counts.NextStepOf(4, 0), absl::nullopt);
}

TEST(WorkerCountsTest, ItsMessageSaysAllOfIt) {
  WorkerCounts counts(4);
  google::protobuf::RepeatedPtrField<v1::WorkerCount> proto;
  counts.ToProto(&proto);
  EXPECT_TRUE(proto.empty());
  ASSERT_TRUE(counts.Add(10, 6).ok());
  counts.ToProto(&proto);
  // The number that the job was declared with may be another one after a resume.
  const absl::StatusOr<WorkerCounts> read = WorkerCounts::FromProto(7, proto);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->first(), 4);
  EXPECT_EQ(read->last(), 6);
  // As of a step before the change.
  proto.Clear();
  counts.ToProto(&proto, 9);
  EXPECT_TRUE(proto.empty());
  counts.ToProto(&proto, 10);
  EXPECT_EQ(proto.size(), 2);
}

TEST(WorkerCountsTest, NumbersOutOfBoundsAreRefused) {
  WorkerCounts counts(4);
  EXPECT_EQ(counts.Add(-1, 2).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(counts.Add(3, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(counts.Add(3, WorkerCounts::kMaxWorkers + 1).code(),
            absl::StatusCode::kInvalidArgument);
  google::protobuf::RepeatedPtrField<v1::WorkerCount> proto;
  proto.Add()->set_from_step(3);
  proto[0].set_count(2);
  EXPECT_FALSE(WorkerCounts::FromProto(4, proto).ok());  // it does not begin with step 0
  proto[0].set_from_step(0);
  proto[0].set_count(0);
  EXPECT_FALSE(WorkerCounts::FromProto(4, proto).ok());
}

TEST(WorkerCountsTest, ChangesAreBounded) {
  WorkerCounts counts(1);
  for (size_t i = 0; i < WorkerCounts::kMaxChanges; ++i) {
    ASSERT_TRUE(counts.Add(static_cast<int64_t>(i) + 1, i % 2 == 0 ? 2 : 1).ok());
  }
  const int64_t next = static_cast<int64_t>(WorkerCounts::kMaxChanges) + 1;
  EXPECT_EQ(counts.Add(next, 5).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace parley
