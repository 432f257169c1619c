#include "worker/event_writer.h"

#include <fstream>
#include <iterator>
#include <string>

#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

event::Event OfStep(int64_t step) {
  event::Event event;
  event.set_step(step);
  return event;
}

// The steps of a file's events, the first of which says its version.
std::vector<int64_t> StepsIn(const std::string& path) {
  const std::string bytes = ReadFile(path);
  std::vector<int64_t> steps;
  for (size_t at = 0; at + 16 <= bytes.size();) {
    const size_t size = static_cast<unsigned char>(bytes[at]);  // these are short
    event::Event event;
    EXPECT_TRUE(event.ParseFromString(bytes.substr(at + 12, size)));
    EXPECT_EQ(FrameRecord(bytes.substr(at + 12, size)), bytes.substr(at, 16 + size));
    EXPECT_EQ(event.file_version(), at == 0 ? "brain.Event:2" : "");
    EXPECT_GT(event.wall_time(), 1.5e9);
    if (at > 0) steps.push_back(event.step());
    at += 16 + size;
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
  EXPECT_LT(ReadFile(path).size(), 200'000u);
}

}  // namespace
}  // namespace parley
