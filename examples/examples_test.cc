// Runs the examples: what the reader of one is told to expect must be what it prints.

#include <cstdio>
#include <string>

#include "base/testing/run_program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

TEST(ExamplesTest, LinearRegressionFindsTheLine) {
  const ProgramResult result = RunProgram("examples/linear_regression");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("epoch  1: w = "));
  const size_t last = result.output.find("epoch 10: ");
  ASSERT_NE(last, std::string::npos) << result.output;
  float w = 0, b = 0;
  ASSERT_EQ(std::sscanf(result.output.c_str() + last, "epoch 10: w = %f, b = %f", &w, &b), 2);
  EXPECT_NEAR(w, 1.95, 0.05);
  EXPECT_NEAR(b, 10.00, 0.05);
}

TEST(ExamplesTest, FashionMnistLearnsInOneProcess) {
  const ProgramResult result = RunProgram(
      "examples/fashion_mnist --model=linear --steps=200 --workers=2 --shards=2 --batch_size=32");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("step 200/200 loss "));
  const size_t found = result.output.find("test accuracy ");
  ASSERT_NE(found, std::string::npos) << result.output;
  EXPECT_GT(std::stod(result.output.substr(found + sizeof("test accuracy"))), 0.7);
}

TEST(ExamplesTest, FashionMnistSaysWhatIsWrong) {
  const ProgramResult nowhere = RunProgram("examples/fashion_mnist --data_dir=nowhere");
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_THAT(nowhere.output, HasSubstr("fashion_mnist: nowhere: "));
  EXPECT_EQ(RunProgram("examples/fashion_mnist --workers=0").exit_code, 1);
}

}  // namespace
}  // namespace parley
