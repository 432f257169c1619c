#include "worker/event_writer.h"

#include <fstream>
#include <string>
#include <vector>

#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/testing/read_events.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

event::Event OfStep(int64_t step) {
  event::Event event;
  event.set_step(step);
  return event;
}

// The steps of a file's events, the first of which says its version.
std::vector<int64_t> StepsIn(const std::string& path) {
  std::vector<int64_t> steps;
  const std::vector<event::Event> events = ReadEvents(path);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].file_version(), i == 0 ? "brain.Event:2" : "");
    EXPECT_GT(events[i].wall_time(), 1.5e9);
    if (i > 0) steps.push_back(events[i].step());
  }
  return steps;
}

TEST(EventWriterTest, RecordsAreFramedAsTensorBoardDoes) {
  // The RecordWriter of TensorBoard 2.21 wrote these.
  EXPECT_EQ(FrameRecord(""), std::string("\0\0\0\0\0\0\0\0\x29\x03\x98\x07\xd8\xea\x82\xa2", 16));
  EXPECT_EQ(FrameRecord("hello"), std::string("\5\0\0\0\0\0\0\0\xea\xb2\x04\x3e"
                                              "hello"
                                              "\xbb\x1f\x1c\x19",
                                              21));
}

TEST(EventWriterTest, WhatWasAddedIsInTheFile) {
  TempFolder folder;
  std::string path;
  {
    const auto writer = EventWriter::Create(Env::Posix(), folder.File("a/b"));
    ASSERT_TRUE(writer.ok()) << writer.status();
    path = (*writer)->path();
    EXPECT_THAT(path, HasSubstr("/a/b/events.out.tfevents."));
    for (int64_t step = 0; step < 100; ++step) (*writer)->Add(OfStep(step));
  }
  std::vector<int64_t> all(100);
  for (int64_t step = 0; step < 100; ++step) all[step] = step;
  EXPECT_EQ(StepsIn(path), all);
}

TEST(EventWriterTest, AFolderThatCannotBeWrittenIsAnError) {
  TempFolder folder;
  std::ofstream(folder.File("file")) << "no folder";
  const auto writer = EventWriter::Create(Env::Posix(), folder.File("file"));
  ASSERT_FALSE(writer.ok());
  EXPECT_THAT(std::string(writer.status().message()), HasSubstr(folder.File("file")));
}

TEST(EventWriterTest, AfterAFullDiskNothingIsWrittenAndNobodyWaits) {
  TempFolder folder;
  FaultyEnv env(Env::Posix());
  std::string path;
  {
    const auto writer = EventWriter::Create(&env, folder.path());
    ASSERT_TRUE(writer.ok()) << writer.status();
    path = (*writer)->path();
    env.FailAt(0, FaultyEnv::After::kCrashes, absl::ResourceExhaustedError("the disk is full"));
    for (int64_t step = 0; step < 10000; ++step) (*writer)->Add(OfStep(step));
  }
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  EXPECT_LT(file.tellg(), 200'000);  // it ends with half a record
}

}  // namespace
}  // namespace parley
