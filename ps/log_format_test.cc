#include "ps/log_format.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "base/crc32c.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

// A file in memory that counts what is read of it.
class CountingFile final : public ReadableFile {
 public:
  explicit CountingFile(std::string bytes) : bytes_(std::move(bytes)) {}

  absl::Status ReadAt(int64_t offset, void* data, size_t size) const override {
    if (size > bytes_.size() - static_cast<size_t>(offset)) return absl::DataLossError("the end");
    std::memcpy(data, bytes_.data() + offset, size);
    read_ += size;
    return absl::OkStatus();
  }
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  size_t read() const { return read_; }

 private:
  const std::string bytes_;
  mutable size_t read_ = 0;
};

// Of a record with a message of a byte and so many of payload, whose checksum is not theirs.
std::string HeadOf(uint64_t payload_bytes) {
  std::string head(24, '\0');
  head[8] = 1;
  std::memcpy(&head[16], &payload_bytes, sizeof(payload_bytes));
  const uint32_t crc = Crc32c(head.data() + 4, 20);
  std::memcpy(&head[0], &crc, sizeof(crc));
  return head;
}

absl::StatusOr<ReadLogRecord> ReadAt(const ReadableFile& file, int64_t begin) {
  return ReadLogRecordAt(file, begin, ReusedBuffers::Create().get());
}

TEST(LogFormatTest, ATornRecordIsTheEndAndOneBeforeDurableOnesIsDamage) {
  v1::LogRecord record;
  record.mutable_round()->set_block(1);
  const std::string first = EncodeLogRecord(record, Payload(), 0);
  const std::string torn = first.substr(0, first.size() - 1);
  EXPECT_TRUE(absl::IsOutOfRange(ReadAt(CountingFile(torn), 0).status()));
  const int64_t end = static_cast<int64_t>(first.size());
  const std::string later = EncodeLogRecord(record, Payload(), end);
  EXPECT_TRUE(
      absl::IsDataLoss(ReadAt(CountingFile(std::string(first.size(), 'x') + later), 0).status()));
  // It says nothing of what was written with it.
  const std::string with = EncodeLogRecord(record, Payload(), 0);
  EXPECT_TRUE(
      absl::IsOutOfRange(ReadAt(CountingFile(std::string(first.size(), 'x') + with), 0).status()));
}

// What workers push stands in a log, too.
TEST(LogFormatTest, HeadsThatReachToTheEndAreNotAllFollowed) {
  constexpr size_t kHeads = 10000;
  std::string bytes = "damage";
  for (size_t i = 0; i < kHeads; ++i) bytes += HeadOf((kHeads - 1 - i) * 24);
  bytes += "x";
  const CountingFile file(std::move(bytes));
  const absl::Status status = ReadAt(file, 0).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_LT(file.read(), 8 * static_cast<size_t>(file.size()));
}

}  // namespace
}  // namespace parley
