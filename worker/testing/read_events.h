#ifndef PARLEY_WORKER_TESTING_READ_EVENTS_H_
#define PARLEY_WORKER_TESTING_READ_EVENTS_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/event_writer.h"

namespace parley {

// The events of a file; a failure of the test where a record is damaged or cut off.
inline std::vector<event::Event> ReadEvents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<event::Event> events;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t size = 0;
    if (at + sizeof(size) <= bytes.size()) std::memcpy(&size, &bytes[at], sizeof(size));
    const std::string data = bytes.substr(std::min(at + 12, bytes.size()), size);
    const std::string record = FrameRecord(data);
    EXPECT_EQ(bytes.substr(at, record.size()), record) << "the record at byte " << at;
    EXPECT_TRUE(events.emplace_back().ParseFromString(data));
    at += record.size();
  }
  return events;
}

}  // namespace parley

#endif  // PARLEY_WORKER_TESTING_READ_EVENTS_H_
