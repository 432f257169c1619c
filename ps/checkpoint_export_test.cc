#include "ps/checkpoint_export.h"

#include <cstring>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/file.h"
#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

// Reads a safetensors file as its format says, and nothing more.
std::map<std::string, Tensor> ReadSafeTensors(const std::string& path,
                                              std::map<std::string, std::string>* metadata) {
  std::map<std::string, Tensor> tensors;
  const absl::StatusOr<std::string> file = ReadWholeFile(Env::Posix(), path, 1 << 30);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok() || file->size() < 8) return tensors;
  uint64_t length;
  std::memcpy(&length, file->data(), 8);
  EXPECT_EQ(length % 8, 0u);
  google::protobuf::Struct header;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(file->substr(8, length), &header).ok());
  int64_t covered = 0;
  for (const auto& [name, value] : header.fields()) {
    const auto& fields = value.struct_value().fields();
    if (name == "__metadata__") {
      for (const auto& [key, text] : fields) (*metadata)[key] = text.string_value();
      continue;
    }
    Tensor& tensor = tensors[name];
    tensor.dtype = fields.at("dtype").string_value();
    for (const auto& size : fields.at("shape").list_value().values()) {
      tensor.shape.push_back(static_cast<int64_t>(size.number_value()));
    }
    const auto& offsets = fields.at("data_offsets").list_value().values();
    const size_t begin = static_cast<size_t>(offsets[0].number_value());
    const size_t end = static_cast<size_t>(offsets[1].number_value());
    tensor.bytes = file->substr(8 + length + begin, end - begin);
    EXPECT_EQ(tensor.bytes.size(), end - begin);
    covered += static_cast<int64_t>(end - begin);
  }
  EXPECT_EQ(covered + 8 + static_cast<int64_t>(length), static_cast<int64_t>(file->size()));
  return tensors;
}

template <typename T>
std::vector<T> As(const std::string& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

class CheckpointExportTest : public testing::Test {
 protected:
  using Reply = ParameterServer::PushPullReply;

  // A table whose rows are minus the sums of their gradients.
  static v1::JobSpec Spec(const std::string& more) {
    v1::JobSpec spec = OneShardSpec(1, false);
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        "name: 'a/b' width: 2 optimizer { learning_rate: 1 adagrad { } } " + more,
        spec.add_tables()));
    return spec;
  }

  void Start(const v1::JobSpec& spec) {
    shard_ = std::make_unique<OneShard>(spec);
    ShardOptions options;
    options.checkpoint_folder = shard_->checkpoints();
    shard_->StartWith(options);
    ASSERT_TRUE(shard_->Declare().ok());
    ASSERT_TRUE(shard_->Join(0).ok());
  }
  // Keys [begin, end), with gradients {-1, -2}.
  void Push(uint64_t begin, uint64_t end) {
    v1::PushPullRequest request;
    request.mutable_sender()->set_job("job");
    request.mutable_sender()->set_incarnation(1);
    request.set_sequence(++sequence_);
    request.set_step(static_cast<int64_t>(sequence_) - 1);
    request.set_wait_ms(30000);
    request.set_dtype(v1::FLOAT32);
    v1::TableRows* const rows = request.add_push_rows();
    const auto values = std::make_shared<std::vector<float>>();
    for (uint64_t key = begin; key < end; ++key) {
      rows->add_keys(key);
      values->push_back(-1);
      values->push_back(-2);
    }
    Payload payload;
    payload.Append(values->data(), values->size() * sizeof(float), values);
    const auto reply = Begin<Reply>([&](auto done) {
                         shard_->shard().PushPull(request, std::move(payload), std::move(done));
                       }).get();
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  absl::Status Export(const ExportOptions& options) {
    out_.str("");
    return ExportCheckpoint(Env::Posix(), shard_->checkpoints(), folder_.File("out"), options,
                            out_);
  }
  std::vector<std::string> Files() {
    const auto names = Env::Posix()->ListFolder(folder_.File("out"));
    return names.ok() ? *names : std::vector<std::string>();
  }
  std::map<std::string, Tensor> Read(const std::string& name) {
    return ReadSafeTensors(JoinPath(folder_.File("out"), name), &metadata_);
  }

  TempFolder folder_;
  std::unique_ptr<OneShard> shard_;
  uint64_t sequence_ = 0;
  std::ostringstream out_;
  std::map<std::string, std::string> metadata_;
};

TEST_F(CheckpointExportTest, WritesParametersAndTables) {
  Start(Spec("dtype: FLOAT32"));
  ASSERT_TRUE(shard_->Push(0, 0, ++sequence_, 1.0f).ok());
  Push(0, 5000);
  const std::vector<float> values = shard_->Pull();
  ASSERT_TRUE(shard_->Checkpoint(3).ok());
  ExportOptions options;
  options.part_rows = 1500;
  ASSERT_TRUE(Export(options).ok());
  EXPECT_EQ(Files(), (std::vector<std::string>{
                         "a%2fb-00001-of-00004.safetensors", "a%2fb-00002-of-00004.safetensors",
                         "a%2fb-00003-of-00004.safetensors", "a%2fb-00004-of-00004.safetensors",
                         "parameters.safetensors"}));

  std::map<std::string, Tensor> tensors = Read("parameters.safetensors");
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors["w"].dtype, "F32");
  EXPECT_EQ(tensors["w"].shape, (std::vector<int64_t>{kElements}));
  EXPECT_EQ(As<float>(tensors["w"].bytes), values);
  EXPECT_EQ(metadata_["job"], "job");
  EXPECT_EQ(metadata_["step"], "3");

  std::map<uint64_t, int> seen;
  for (int part = 1; part <= 4; ++part) {
    tensors = Read(absl::StrCat("a%2fb-0000", part, "-of-00004.safetensors"));
    ASSERT_EQ(tensors.size(), 2u);
    EXPECT_EQ(metadata_["table"], "a/b");
    const auto keys = As<uint64_t>(tensors["keys"].bytes);
    const auto rows = As<float>(tensors["rows"].bytes);
    EXPECT_EQ(tensors["keys"].dtype, "U64");
    EXPECT_EQ(tensors["keys"].shape, (std::vector<int64_t>{static_cast<int64_t>(keys.size())}));
    EXPECT_EQ(tensors["rows"].shape, (std::vector<int64_t>{static_cast<int64_t>(keys.size()), 2}));
    ASSERT_LE(keys.size(), 1500u);
    ASSERT_EQ(rows.size(), keys.size() * 2);
    for (const uint64_t key : keys) ++seen[key];
    // Adagrad's first step is the learning rate, whatever the gradient.
    for (const float value : rows) EXPECT_NEAR(value, 1, 0.1);
  }
  ASSERT_EQ(seen.size(), 5000u);
  EXPECT_EQ(seen.begin()->first, 0u);
  EXPECT_EQ(seen.rbegin()->first, 4999u);
}

TEST_F(CheckpointExportTest, ExpiredRowsAreLeftOutAndNarrowOnesStayNarrow) {
  Start(Spec("dtype: BFLOAT16 expire_after_rounds: 10"));
  Push(0, 100);
  for (int i = 0; i < 10; ++i) Push(90, 130);
  ASSERT_TRUE(shard_->Checkpoint(3).ok());
  ExportOptions options;
  options.tables = {"a/b"};
  ASSERT_TRUE(Export(options).ok());
  EXPECT_EQ(Files(), (std::vector<std::string>{"a%2fb-00001-of-00001.safetensors"}));
  EXPECT_THAT(out_.str(), HasSubstr("safetensors: 40 rows of table a/b"));
  std::map<std::string, Tensor> tensors = Read(Files()[0]);
  EXPECT_EQ(tensors["rows"].dtype, "BF16");
  EXPECT_EQ(tensors["rows"].bytes.size(), 40u * 2 * 2);
  for (const uint64_t key : As<uint64_t>(tensors["keys"].bytes)) {
    EXPECT_TRUE(key >= 90 && key < 130) << key;
  }
}

TEST_F(CheckpointExportTest, AnEmptyTableHasOneEmptyFile) {
  Start(Spec("dtype: FLOAT32"));
  ASSERT_TRUE(shard_->Checkpoint(3).ok());
  ASSERT_TRUE(Export({}).ok());
  const std::map<std::string, Tensor> tensors = Read("a%2fb-00001-of-00001.safetensors");
  EXPECT_EQ(tensors.at("keys").shape, (std::vector<int64_t>{0}));
  EXPECT_EQ(tensors.at("rows").shape, (std::vector<int64_t>{0, 2}));
}

TEST_F(CheckpointExportTest, WhatIsWrongIsNamed) {
  Start(Spec("dtype: FLOAT32"));
  EXPECT_EQ(Export({}).code(), absl::StatusCode::kNotFound);
  Push(0, 100);
  ASSERT_TRUE(shard_->Checkpoint(3).ok());
  ExportOptions options;
  options.tables = {"other"};
  const absl::Status unknown = Export(options);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("other"));
  options.part_rows = 0;
  EXPECT_EQ(Export(options).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Files().empty());
}

}  // namespace
}  // namespace parley
