#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"

namespace parley {
namespace {

constexpr int64_t kLimit = 1 << 20;

class FileTest : public testing::Test {
 protected:
  std::string Read(const std::string& name) {
    const absl::StatusOr<std::string> bytes = ReadWholeFile(env_, folder_.File(name), kLimit);
    return bytes.ok() ? *bytes : bytes.status().ToString();
  }
  std::vector<std::string> List() { return env_->ListFolder(folder_.path()).value(); }

  TempFolder folder_;
  Env* const env_ = Env::Posix();
};

TEST_F(FileTest, ReadsWhatWasWritten) {
  const std::string bytes("a\0b\xff", 4);
  ASSERT_TRUE(WriteFileAtomically(env_, folder_.File("x"), bytes).ok());
  EXPECT_EQ(Read("x"), bytes);
  EXPECT_EQ(List(), std::vector<std::string>{"x"});
  EXPECT_EQ(ChecksumFile(env_, folder_.File("x")).value(), Crc32c(bytes.data(), bytes.size()));
}

TEST_F(FileTest, ChecksumsAFileOfManyPieces) {
  std::string bytes((size_t{5} << 19) + 3, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 1000);
  ASSERT_TRUE(WriteFileAtomically(env_, folder_.File("x"), bytes).ok());
  EXPECT_EQ(ChecksumFile(env_, folder_.File("x")).value(), Crc32c(bytes.data(), bytes.size()));
}

TEST_F(FileTest, RefusesMoreThanTheLimit) {
  ASSERT_TRUE(WriteFileAtomically(env_, folder_.File("x"), "12345").ok());
  EXPECT_EQ(ReadWholeFile(env_, folder_.File("x"), 4).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(ReadWholeFile(env_, folder_.File("x"), 5).ok());
}

TEST_F(FileTest, ErrorsNameThePath) {
  const std::string missing = folder_.File("missing");
  EXPECT_TRUE(absl::IsNotFound(env_->OpenFile(missing).status()));
  EXPECT_NE(env_->OpenFile(missing).status().message().find(missing), absl::string_view::npos);
  EXPECT_TRUE(absl::IsNotFound(env_->ListFolder(missing).status()));
  EXPECT_TRUE(absl::IsNotFound(env_->RemoveFile(missing)));
  EXPECT_TRUE(absl::IsNotFound(env_->RenameFile(missing, folder_.File("x"))));
  EXPECT_TRUE(absl::IsNotFound(env_->SyncFolder(missing)));
  EXPECT_TRUE(absl::IsNotFound(WriteFileAtomically(env_, missing + "/x", "")));
}

TEST_F(FileTest, DoesNotOpenWhatIsNoRegularFile) {
  EXPECT_TRUE(absl::IsInvalidArgument(env_->OpenFile(folder_.path()).status()));
  ASSERT_EQ(mkfifo(folder_.File("pipe").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(env_->OpenFile(folder_.File("pipe")).status()));
}

TEST_F(FileTest, ReadingPastTheEndIsDataLoss) {
  ASSERT_TRUE(WriteFileAtomically(env_, folder_.File("x"), "12345").ok());
  const auto file = env_->OpenFile(folder_.File("x")).value();
  EXPECT_EQ(file->size(), 5);
  char bytes[4];
  EXPECT_TRUE(file->ReadAt(1, bytes, 4).ok());
  EXPECT_TRUE(absl::IsDataLoss(file->ReadAt(2, bytes, 4)));
}

TEST_F(FileTest, CreatesFoldersAboveToo) {
  const std::string deep = folder_.File("a/b/c");
  EXPECT_TRUE(env_->CreateFolders(deep).ok());
  EXPECT_TRUE(env_->CreateFolders(deep).ok());
  EXPECT_TRUE(env_->CreateFolders(deep + "/d/").ok());
  EXPECT_TRUE(WriteFileAtomically(env_, deep + "/d/x", "1").ok());
}

TEST_F(FileTest, PathsJoinAndSplit) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(FolderOf("a/b"), "a");
  EXPECT_EQ(FolderOf("b"), ".");
  EXPECT_EQ(FolderOf("/b"), "/");
}

TEST_F(FileTest, PadsToTheAlignment) {
  auto file = AtomicFile::Create(env_, folder_.File("x")).value();
  ASSERT_TRUE(file->PadTo(8).ok());
  EXPECT_EQ(file->size(), 0);
  ASSERT_TRUE(file->Append("abc", 3).ok());
  ASSERT_TRUE(file->PadTo(8).ok());
  ASSERT_TRUE(file->PadTo(8).ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read("x"), std::string("abc\0\0\0\0\0", 8));
  EXPECT_EQ(file->size(), 8);
  EXPECT_EQ(file->crc32c(), Crc32c("abc\0\0\0\0\0", 8));
}

// Every change that can fail, fails once: create, write, sync, close, rename, sync the folder.
TEST_F(FileTest, AFailedWriteLeavesTheOldBytesAndNoLitter) {
  ASSERT_TRUE(WriteFileAtomically(env_, folder_.File("x"), "old").ok());
  FaultyEnv faulty(env_);
  ASSERT_TRUE(WriteFileAtomically(&faulty, folder_.File("x"), "old").ok());
  const int64_t changes = faulty.changes();
  ASSERT_EQ(changes, 6);
  for (int64_t change = 0; change < changes; ++change) {
    SCOPED_TRACE(change);
    faulty.FailAt(change, FaultyEnv::After::kRecovers,
                  absl::ResourceExhaustedError("no space left"));
    const absl::Status status = WriteFileAtomically(&faulty, folder_.File("x"), "the new bytes");
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    const bool renamed = change == changes - 1;
    EXPECT_EQ(Read("x"), renamed ? "the new bytes" : "old");
    EXPECT_EQ(List(), std::vector<std::string>{"x"});
  }
}

TEST_F(FileTest, ACrashLeavesTheOldBytesOrTheNew) {
  ASSERT_TRUE(WriteFileAtomically(env_, folder_.File("x"), "old").ok());
  FaultyEnv faulty(env_);
  for (int64_t change = 0; change < 6; ++change) {
    SCOPED_TRACE(change);
    faulty.FailAt(change, FaultyEnv::After::kCrashes, absl::UnavailableError("crashed"));
    EXPECT_FALSE(WriteFileAtomically(&faulty, folder_.File("x"), "the new bytes").ok());
    EXPECT_EQ(Read("x"), change == 5 ? "the new bytes" : "old");
  }
}

}  // namespace
}  // namespace parley
