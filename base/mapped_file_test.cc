#include "base/mapped_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/temp_folder.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  MappedFileTest() : file_(open(folder_.File("file").c_str(), O_RDWR | O_CREAT, 0600)) {}
  ~MappedFileTest() override { close(file_); }

  void Write(const std::string& bytes, off_t at) {
    ASSERT_EQ(pwrite(file_, bytes.data(), bytes.size(), at), static_cast<ssize_t>(bytes.size()));
  }
  static absl::Status Read(const MappedFile& mapped, const std::vector<int64_t>& offsets,
                           size_t size, std::string* out) {
    out->assign(offsets.size() * size, '\0');
    std::vector<MappedFile::Piece> pieces;
    for (size_t i = 0; i < offsets.size(); ++i) {
      pieces.push_back({offsets[i], reinterpret_cast<std::byte*>(out->data()) + i * size});
    }
    return mapped.Read(pieces, size);
  }

  TempFolder folder_;
  const int file_;
};

TEST_F(MappedFileTest, ReadsWhatIsWrittenAlsoLater) {
  MappedFile mapped(file_);
  ASSERT_TRUE(mapped.Map(100000).ok());
  Write("abcdefgh", 0);
  Write("ijkl", 5000);
  std::string out;
  ASSERT_TRUE(Read(mapped, {5000, 2, 0}, 4, &out).ok());
  EXPECT_EQ(out, "ijklcdefabcd");
  Write("ABCD", 0);
  ASSERT_TRUE(Read(mapped, {0}, 4, &out).ok());
  EXPECT_EQ(out, "ABCD");
  // Further than what was mapped at first.
  constexpr int64_t kFar = int64_t{3} << 28;
  Write("far", kFar - 2);
  ASSERT_TRUE(mapped.Map(kFar + 1).ok());
  ASSERT_TRUE(Read(mapped, {kFar - 2, kFar}, 1, &out).ok());
  EXPECT_EQ(out, "fr");
}

TEST_F(MappedFileTest, AFileThatWasMadeShorterIsAnErrorEachTime) {
  MappedFile mapped(file_);
  ASSERT_TRUE(mapped.Map(100000).ok());
  Write("abcd", 50000);
  std::string out;
  ASSERT_TRUE(Read(mapped, {50000}, 4, &out).ok());
  ASSERT_EQ(ftruncate(file_, 100), 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(absl::IsUnavailable(Read(mapped, {0, 50000}, 4, &out)));
    EXPECT_TRUE(Read(mapped, {0}, 4, &out).ok());
  }
  // And when it has the bytes again, they are there.
  Write("efgh", 50000);
  ASSERT_TRUE(Read(mapped, {50000}, 4, &out).ok());
  EXPECT_EQ(out, "efgh");
}

TEST_F(MappedFileTest, WhoReadsBesideOneThatCannotGetsNoZeros) {
  constexpr int64_t kPage = 4096;
  constexpr int64_t kPages = 64;
  Write(std::string(kPages * kPage, 'x'), 0);
  for (int round = 0; round < 20; ++round) {
    MappedFile mapped(file_);
    ASSERT_TRUE(mapped.Map(kPages * kPage).ok());
    std::atomic<int> reading{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 2; ++i) {
      readers.emplace_back([&] {
        std::string out;
        // Until the last page is gone.
        for (bool all = true; all;) {
          for (int64_t page = kPages - 1; page >= 0; --page) {
            const absl::Status read = Read(mapped, {page * kPage + 8}, 64, &out);
            all = read.ok() && all;
            ASSERT_TRUE(read.ok() || absl::IsUnavailable(read)) << read;
            if (!read.ok()) continue;
            ASSERT_EQ(out, std::string(64, 'x'));
          }
          ++reading;
        }
      });
    }
    while (reading < 2) std::this_thread::yield();
    ASSERT_EQ(ftruncate(file_, kPages / 2 * kPage), 0);
    for (std::thread& reader : readers) reader.join();
    Write(std::string(kPages / 2 * kPage, 'x'), kPages / 2 * kPage);
  }
}

}  // namespace
}  // namespace parley
