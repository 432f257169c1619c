#include "nn/models/gan.h"

#include "base/philox.h"
#include "gtest/gtest.h"
#include "nn/init.h"
#include "nn/loss.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

constexpr int64_t kBatch = 4;

Variable Noise(int64_t latent) {
  const Tensor noise(CpuBackend(), {kBatch, latent});
  for (int64_t i = 0; i < noise.num_elements(); ++i) {
    noise.data()[i] = PhiloxNormal(1, 0, static_cast<uint64_t>(i));
  }
  return Variable::Input(noise);
}

TEST(GanTest, TheGeneratorMakesImagesBetweenMinusOneAndOne) {
  const std::unique_ptr<Module> generator = NewGenerator(CpuBackend(), 3, 5, 4, 2);
  InitializeParameters(generator.get(), 1);
  const Variable images = generator->Forward(Noise(3));
  EXPECT_EQ(images.shape(), (Shape{kBatch, 5, 4, 2}));
  for (const float value : images.value().span()) {
    EXPECT_LE(value, 1);
    EXPECT_GE(value, -1);
  }
}

// Against a discriminator that stands still, the generator comes to look real: gradients flow
// through the one into the other.
TEST(GanTest, TheGeneratorLearnsFromTheDiscriminator) {
  const std::unique_ptr<Module> generator = NewGenerator(CpuBackend(), 3, 5, 4, 1);
  const std::unique_ptr<Module> discriminator = NewDiscriminator(CpuBackend(), 5, 4, 1);
  InitializeParameters(generator.get(), 1);
  InitializeParameters(discriminator.get(), 1);
  ForwardContext context;
  context.training = true;
  std::vector<float> losses;
  for (context.step = 0; context.step < 20; ++context.step) {
    for (Parameter& each : generator->parameters()) each.variable.ClearGradient();
    const Variable logits = discriminator->Forward(generator->Forward(Noise(3), context), context);
    ASSERT_EQ(logits.shape(), (Shape{kBatch, 1}));
    const Variable loss =
        BinaryCrossEntropyLoss(logits, std::vector<float>(static_cast<size_t>(kBatch), 1));
    losses.push_back(loss.value().data()[0]);
    Backward(loss);
    for (const Parameter& each : generator->parameters()) {
      CpuBackend()->Affine(-0.05, each.variable.gradient(), 0, Write::kAdd, each.variable.value());
    }
  }
  EXPECT_LT(losses.back(), 0.5f * losses.front()) << testing::PrintToString(losses);
}

}  // namespace
}  // namespace parley::nn
