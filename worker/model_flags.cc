#include "worker/model_flags.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cuda/cuda_backend.h"
#include "data/open_dataset.h"
#include "data/subset.h"
#include "data/text.h"
#include "gflags/gflags.h"
#include "tensor/cpu_backend.h"
#include "tensor/dtype.h"

DEFINE_string(model, "cnn",
              "What to train: linear, mlp, cnn or resnet18 (images; the first two also tables), "
              "lstm or transformer (text), wide_deep (a CSV with --categorical_columns).");
DEFINE_int32(layers, 0, "Of lstm and transformer. 0: 2 and 4.");
DEFINE_int32(width, 0, "Of lstm, transformer and wide_deep's embeddings. 0: 256, 256 and 16.");
DEFINE_int32(heads, 0, "Of transformer; they divide --width. 0: 4.");
DEFINE_double(dropout, 0,
              "How much lstm, transformer and wide_deep leave out in training; in [0, 1).");
DEFINE_int32(time, 128, "How many bytes of a text lstm and transformer read at once.");
DEFINE_string(data_dir, "",
              "The data: a folder with the IDX files of MNIST, with the binary files of CIFAR-10, "
              "or with train.csv and test.csv; one CSV file, of which every fifth row is held out "
              "for the test; for lstm and transformer a text file, or a folder of them, of which "
              "the last tenth is held out. All plain or gzip.");
DEFINE_string(label_column, "",
              "CSV: the column to predict, by name or number from 1. Empty: the last.");
DEFINE_bool(regression, false, "CSV: predict numbers, not classes.");
DEFINE_string(categorical_columns, "",
              "CSV: the columns of categories for wide_deep, by name or number from 1, with commas "
              "between; city:1000 hashes a column's values to as many ids.");
DEFINE_int64(max_train_examples, 0,
             "Train on the first so many examples only (of text: windows of --time). 0: on all.");
DEFINE_int64(max_test_examples, 0, "Test with the first so many only. 0: with all.");
DEFINE_int32(batch_size, 64, "Examples in one step of one worker.");
DEFINE_string(device, "cpu", "Where to compute: cpu, cuda (the first GPU) or cuda:N.");
DEFINE_string(dtype, "float32",
              "What to compute in: float32, bfloat16 or float16. Parameters stay float32.");

namespace parley {
namespace {

constexpr int kResnetSide = 32;  // the images that resnet18 is for
constexpr int kLargestSize = 65536;

bool WasGiven(const char* flag) {
  gflags::CommandLineFlagInfo info;
  return gflags::GetCommandLineFlagInfo(flag, &info) && !info.is_default;
}

absl::Status Invalid(absl::string_view message) { return absl::InvalidArgumentError(message); }

struct Device {
  bool cuda = false;
  int index = 0;
};

absl::StatusOr<Device> ParseDevice() {
  Device device;
  if (FLAGS_device == "cpu") return device;
  device.cuda = true;
  absl::string_view rest = FLAGS_device;
  if (rest == "cuda") return device;
  if (absl::ConsumePrefix(&rest, "cuda:") && absl::SimpleAtoi(rest, &device.index) &&
      device.index >= 0) {
    return device;
  }
  return Invalid(absl::StrCat("--device=", FLAGS_device, " is none of cpu, cuda, cuda:N"));
}

absl::StatusOr<DType> ParseDType() {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    if (FLAGS_dtype == NameOf(dtype)) return dtype;
  }
  return Invalid(absl::StrCat("--dtype=", FLAGS_dtype, " is none of float32, bfloat16, float16"));
}

}  // namespace

std::vector<FlagGroup> ModelFlagGroups() {
  return {{"The model", {"model", "layers", "width", "heads", "dropout"}},
          {"The data",
           {"data_dir", "batch_size", "max_train_examples", "max_test_examples", "time",
            "label_column", "regression", "categorical_columns"}},
          {"Computing", {"device", "dtype"}}};
}

absl::Status CheckModelFlags() {
  if (FLAGS_data_dir.empty()) return Invalid("--data_dir is missing");
  if (FLAGS_batch_size < 1) return Invalid("--batch_size is not positive");
  if (FLAGS_max_train_examples < 0) return Invalid("--max_train_examples is negative");
  if (FLAGS_max_test_examples < 0) return Invalid("--max_test_examples is negative");
  const struct {
    const char* flag;
    std::vector<const char*> models;
  } kFlags[] = {
      {"layers", {"lstm", "transformer"}},
      {"width", {"lstm", "transformer", "wide_deep"}},
      {"heads", {"transformer"}},
      {"dropout", {"lstm", "transformer", "wide_deep"}},
      {"time", {"lstm", "transformer"}},
      {"categorical_columns", {"wide_deep"}},
      {"label_column", {"linear", "mlp", "cnn", "resnet18", "wide_deep"}},
      {"regression", {"linear", "mlp", "cnn", "resnet18", "wide_deep"}},
  };
  for (const auto& [flag, models] : kFlags) {
    if (WasGiven(flag) && std::find(models.begin(), models.end(), FLAGS_model) == models.end()) {
      return Invalid(absl::StrCat("--", flag, " is not for --model=", FLAGS_model));
    }
  }
  const std::pair<const char*, int32_t> kSizes[] = {{"layers", FLAGS_layers},
                                                    {"width", FLAGS_width},
                                                    {"heads", FLAGS_heads},
                                                    {"time", FLAGS_time}};
  for (const auto& [flag, size] : kSizes) {
    if (WasGiven(flag) && (size < 1 || size > kLargestSize)) {
      return Invalid(absl::StrCat("--", flag, " is not in [1, ", kLargestSize, "]"));
    }
  }
  if (!(FLAGS_dropout >= 0 && FLAGS_dropout < 1)) return Invalid("--dropout is not in [0, 1)");
  const absl::Status columns = data::ParseCategoricalColumns(FLAGS_categorical_columns).status();
  if (!columns.ok()) {
    return Invalid(absl::StrCat("--categorical_columns: ", columns.message()));
  }
  PARLEY_RETURN_IF_ERROR(ParseDevice().status());
  return ParseDType().status();
}

absl::StatusOr<data::TrainAndTest> OpenDataOfFlags() {
  data::TrainAndTest both;
  if (IsLanguageModel(FLAGS_model)) {
    PARLEY_ASSIGN_OR_RETURN(both, data::OpenText(FLAGS_data_dir, FLAGS_time));
  } else {
    data::CsvOptions csv;
    csv.label_column = FLAGS_label_column;
    csv.classes = !FLAGS_regression;
    PARLEY_ASSIGN_OR_RETURN(csv.categorical,
                            data::ParseCategoricalColumns(FLAGS_categorical_columns));
    data::ImageOptions images;
    if (FLAGS_model == "resnet18") images.pad_to = kResnetSide;
    PARLEY_ASSIGN_OR_RETURN(both, data::OpenDataset(FLAGS_data_dir, csv, images));
  }
  if (FLAGS_max_train_examples > 0) {
    both.train = data::FirstExamples(std::move(both.train), FLAGS_max_train_examples);
  }
  if (FLAGS_max_test_examples > 0) {
    both.test = data::FirstExamples(std::move(both.test), FLAGS_max_test_examples);
  }
  return both;
}

absl::StatusOr<SupervisedTaskOptions> TaskOptionsOfFlags() {
  SupervisedTaskOptions options;
  options.model = FLAGS_model;
  options.layers = FLAGS_layers;
  options.width = FLAGS_width;
  options.heads = FLAGS_heads;
  options.dropout = FLAGS_dropout;
  options.batch_size = FLAGS_batch_size;
  PARLEY_ASSIGN_OR_RETURN(options.dtype, ParseDType());
  PARLEY_ASSIGN_OR_RETURN(const Device device, ParseDevice());
  options.backend = CpuBackend();
  if (device.cuda) {
    absl::StatusOr<Backend*> backend = CudaBackend(device.index);
    if (!backend.ok()) return Annotate(backend.status(), absl::StrCat("--device=", FLAGS_device));
    options.backend = *backend;
  }
  return options;
}

}  // namespace parley
