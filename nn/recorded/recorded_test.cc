#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "nn/recorded/recorded_cases.h"
#include "nn/recorded/recorded_suite.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

TEST(RecordedTest, LayersAgreeWithPyTorch) {
  ExpectLayersAgreeWithPyTorch(CpuBackend(), DType::kFloat32, 1e-5);
  // Parameters' gradients are float32 still.
  ExpectLayersAgreeWithPyTorch(CpuBackend(), DType::kFloat64, 2e-7);
}

TEST(RecordedTest, LossesAgreeWithPyTorch) {
  ExpectLossesAgreeWithPyTorch(CpuBackend(), DType::kFloat32, 1e-5);
  ExpectLossesAgreeWithPyTorch(CpuBackend(), DType::kFloat64, 1e-8);
}

// 16-bit floats have 8 or 11 significant bits, and a layer rounds several times: parameters,
// inputs and results between its functions.
TEST(RecordedTest, SixteenBitsAgreeWithinTheirRounding) {
  ExpectLayersAgreeWithPyTorch(CpuBackend(), DType::kBFloat16, 0.06);
  ExpectLayersAgreeWithPyTorch(CpuBackend(), DType::kFloat16, 0.008);
  ExpectLossesAgreeWithPyTorch(CpuBackend(), DType::kBFloat16, 0.03);
  ExpectLossesAgreeWithPyTorch(CpuBackend(), DType::kFloat16, 0.004);
}

TEST(RecordedCasesTest, RefusesWhatIsNotOfTheFormat) {
  EXPECT_EQ(ReadRecordedCases("nn/recorded/absent").status().code(), absl::StatusCode::kNotFound);
  const std::string path = testing::TempDir() + "/cases.txt";
  for (const char* line : {"x 2 1 2", "case a\nx 2 1", "case a\nx", "case a\nx 1 1\nx 1 1",
                           "case a\nx 1y 1", "case a\nx 1 one"}) {
    std::ofstream(path) << line << "\n";
    EXPECT_EQ(ReadRecordedCases(path).status().code(), absl::StatusCode::kInvalidArgument) << line;
  }
  std::ofstream(path) << "# comment\ncase a\nx 1x2 1 2.5\ny - -3\n";
  const auto cases = ReadRecordedCases(path);
  ASSERT_TRUE(cases.ok()) << cases.status();
  EXPECT_EQ(cases->at(0).tensors.at("x").values, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(cases->at(0).tensors.at("y").shape, Shape());
}

}  // namespace
}  // namespace parley::nn
