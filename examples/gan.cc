// Trains a generative adversarial network (Goodfellow et al., 2014) on Fashion-MNIST: a generator
// learns to make pictures of clothes that a discriminator, which learns at the same time, cannot
// tell from real ones. One job holds both; each has an optimizer of its own at the shards. This is
// also how a TrainingTask of your own is written: see Gan.

#include "nn/models/gan.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/flags.h"
#include "base/philox.h"
#include "base/status.h"
#include "data/open_dataset.h"
#include "data/sampler.h"
#include "examples/in_process_job.h"
#include "gflags/gflags.h"
#include "net/job.h"
#include "nn/functions.h"
#include "nn/loss.h"
#include "tensor/cpu_backend.h"

DEFINE_string(data_dir, "/usr/share/datasets/fashion-mnist", "The folder with the four IDX files.");
DEFINE_int64(steps, 1500, "Steps of each worker.");
DEFINE_int32(batch_size, 64, "Pictures in a step of one worker.");
DEFINE_int32(workers, 2, "Each on a thread.");
DEFINE_double(learning_rate, 0.0002, "Of the discriminator's Adam.");
DEFINE_double(generator_learning_rate, 0.0002, "Of the generator's.");
DEFINE_uint64(seed, 1, "Of first values, order and random numbers.");
DEFINE_string(pictures, "", "Write 8 x 8 generated pictures to this file (PGM) at the end.");

namespace parley {
namespace {

constexpr int kLatent = 64;
constexpr int kSide = 28;
constexpr int kPixels = kSide * kSide;
constexpr int kTestPictures = 500;

v1::Optimizer Adam(double learning_rate) {
  v1::Optimizer optimizer;
  optimizer.set_learning_rate(static_cast<float>(learning_rate));
  optimizer.mutable_adam()->set_beta1(0.5f);  // as Radford et al. (2016) advise
  return optimizer;
}

// Both players. The Trainer reads and writes their parameters and gradients through the spans it
// gives to Start, the generator's first.
class Gan final : public TrainingTask {
 public:
  Gan(std::shared_ptr<const data::Dataset> real, data::Sampler sampler, int worker)
      : real_(std::move(real)),
        sampler_(std::move(sampler)),
        worker_(worker),
        generator_(nn::NewGenerator(backend_, kLatent, kSide, kSide, 1)),
        discriminator_(nn::NewDiscriminator(backend_, kSide, kSide, 1)),
        parameters_(generator_->parameters()) {
    generators_ = parameters_.size();
    for (nn::Parameter& parameter : discriminator_->parameters()) parameters_.push_back(parameter);
  }

  std::vector<v1::ParameterSpec> Parameters() const override {
    std::vector<v1::ParameterSpec> specs;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      v1::ParameterSpec& spec = specs.emplace_back();
      spec.set_name(parameters_[i].name);
      for (const int64_t size : parameters_[i].variable.shape().ToVector()) spec.add_shape(size);
      spec.set_dtype(v1::FLOAT32);
      *spec.mutable_initializer() = ToProto(parameters_[i].initializer);
      // The discriminator's is the job's.
      if (i < generators_) *spec.mutable_optimizer() = Adam(FLAGS_generator_learning_rate);
    }
    return specs;
  }

  absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                     absl::Span<const absl::Span<float>> gradients, int64_t) override {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      nn::Variable& variable = parameters_[i].variable;
      variable.Bind(Tensor::Borrow(backend_, variable.shape(), parameters[i].data()),
                    Tensor::Borrow(backend_, variable.shape(), gradients[i].data()));
    }
    return absl::OkStatus();
  }

  // The loss that is reported is the discriminator's.
  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady) override {
    nn::ForwardContext context;
    context.training = true;
    context.seed = FLAGS_seed + static_cast<uint64_t>(worker_);
    context.step = step;
    real_->Fill(sampler_.Indices(step, worker_), &batch_);
    for (nn::Parameter& parameter : parameters_) parameter.variable.ClearGradient();

    // The generator wants its pictures to be taken for real.
    const nn::Variable fake = generator_->Forward(Noise(context.seed, step, batch_.size), context);
    const std::vector<float> ones(static_cast<size_t>(batch_.size), 1);
    const std::vector<float> zeros(static_cast<size_t>(batch_.size), 0);
    nn::Backward(nn::BinaryCrossEntropyLoss(discriminator_->Forward(fake, context), ones));

    // The discriminator wants to tell them. What the generator's loss left in its gradients goes.
    for (size_t i = generators_; i < parameters_.size(); ++i) {
      parameters_[i].variable.ClearGradient();
    }
    const nn::Variable loss = nn::Add(
        nn::BinaryCrossEntropyLoss(discriminator_->Forward(Pictures(batch_), context), ones),
        nn::BinaryCrossEntropyLoss(discriminator_->Forward(nn::Detach(fake), context), zeros));
    nn::Backward(loss);
    StepResult result;
    result.loss = static_cast<double>(*loss.value().data());
    result.samples = batch_.size;
    return result;
  }

  // How far the average generated picture is from the average real one: mean squared difference of
  // pixels in [-1, 1]. It says little of single pictures, but falls while the generator learns.
  absl::StatusOr<Evaluation> Evaluate() override {
    const nn::NoGradientScope no_gradient;
    const nn::Variable fake =
        generator_->Forward(Noise(FLAGS_seed, /*step=*/-1, kTestPictures), nn::ForwardContext());
    std::vector<int64_t> first(kTestPictures);
    std::iota(first.begin(), first.end(), 0);
    real_->Fill(first, &batch_);
    const nn::Variable difference =
        nn::Subtract(nn::Mean(Pictures(batch_), {0}), nn::Mean(fake, {0}));
    Evaluation evaluation;
    evaluation.loss = static_cast<double>(*nn::Mean(nn::Square(difference)).value().data());
    evaluation.samples = kTestPictures;
    if (!FLAGS_pictures.empty()) PARLEY_RETURN_IF_ERROR(WritePictures(fake.value().data()));
    return evaluation;
  }

 private:
  nn::Variable Noise(uint64_t seed, int64_t step, int pictures) {
    const Tensor noise(backend_, {pictures, kLatent});
    uint64_t i = 0;
    for (float& value : noise.span()) value = PhiloxNormal(seed, static_cast<uint64_t>(step), i++);
    return nn::Variable::Input(noise);
  }

  // From [0, 1] to the generator's [-1, 1].
  nn::Variable Pictures(const data::Batch& batch) {
    const Tensor pictures(backend_, {batch.size, kSide, kSide, 1});
    std::transform(batch.feature_data(), batch.feature_data() + pictures.num_elements(),
                   pictures.data(), [](float pixel) { return 2 * pixel - 1; });
    return nn::Variable::Input(pictures);
  }

  static absl::Status WritePictures(const float* pixels) {
    constexpr int kRow = 8;  // pictures
    std::ofstream file(FLAGS_pictures, std::ios::binary);
    file << "P5 " << kRow * kSide << " " << kRow * kSide << " 255\n";
    for (int y = 0; y < kRow * kSide; ++y) {
      for (int x = 0; x < kRow * kSide; ++x) {
        const int picture = y / kSide * kRow + x / kSide;
        const float pixel = pixels[picture * kPixels + y % kSide * kSide + x % kSide];
        file.put(static_cast<char>(static_cast<uint8_t>((pixel + 1) * 127.5f)));
      }
    }
    file.close();
    return file ? absl::OkStatus()
                : absl::UnavailableError(absl::StrCat("cannot write ", FLAGS_pictures));
  }

  Backend* const backend_ = CpuBackend();
  const std::shared_ptr<const data::Dataset> real_;
  data::Sampler sampler_;
  const int worker_;
  const std::unique_ptr<nn::Module> generator_;
  const std::unique_ptr<nn::Module> discriminator_;
  std::vector<nn::Parameter> parameters_;
  size_t generators_;  // how many of these are the generator's
  data::Batch batch_;
};

absl::Status Run() {
  PARLEY_ASSIGN_OR_RETURN(const data::TrainAndTest data, data::OpenDataset(FLAGS_data_dir, {}));
  if (data.train->feature_shape() != std::vector<int>{kSide, kSide, 1}) {
    return absl::InvalidArgumentError(absl::StrCat(FLAGS_data_dir, " has no images of 28x28"));
  }
  PARLEY_ASSIGN_OR_RETURN(
      const data::Sampler sampler,
      data::Sampler::Create(data.train->size(), FLAGS_batch_size, FLAGS_workers, FLAGS_seed));
  const auto new_task = [&](int worker) -> absl::StatusOr<std::unique_ptr<TrainingTask>> {
    return std::make_unique<Gan>(data.train, sampler, worker);
  };
  InProcessJob job;
  job.spec.set_name("gan");
  job.spec.set_seed(FLAGS_seed);
  job.spec.set_num_workers(FLAGS_workers);
  job.spec.set_num_shards(2);
  *job.spec.mutable_optimizer() = Adam(FLAGS_learning_rate);
  job.spec.mutable_policy()->mutable_synchronous();
  job.steps = FLAGS_steps;
  job.evaluate_every = 100;
  return TrainInProcess(job, new_task).status();
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::ParseFlags({"gan",
                      "usage: gan [flags]\n\nTrains a generative adversarial network on "
                      "Fashion-MNIST, in one process.",
                      {{"Flags",
                        {"data_dir", "steps", "batch_size", "workers", "learning_rate",
                         "generator_learning_rate", "seed", "pictures"}}}},
                     argc, argv);
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "gan: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
