#include "tensor/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "glog/logging.h"
#include "tensor/cpu_conv2d.h"
#include "tensor/cpu_matmul.h"
#include "tensor/cpu_matrix.h"
#include "tensor/cpu_pool2d.h"

namespace parley {
namespace {

// Memory that was let go, by size: a training step asks for the same sizes again and again, and
// fresh pages are slow.
class Pool {
 public:
  AlignedBytes Take(size_t bytes) {
    {
      MutexLock lock(&mutex_);
      std::vector<AlignedBytes>& list = free_[bytes];
      if (!list.empty()) {
        AlignedBytes result = std::move(list.back());
        list.pop_back();
        held_ -= bytes;
        return result;
      }
    }
    return NewAlignedBytes(bytes);
  }

  void Return(AlignedBytes memory, size_t bytes) {
    MutexLock lock(&mutex_);
    if (held_ + bytes > kLimit) return;
    free_[bytes].push_back(std::move(memory));
    held_ += bytes;
  }

 private:
  static constexpr size_t kLimit = size_t{512} << 20;

  Mutex mutex_;
  absl::flat_hash_map<size_t, std::vector<AlignedBytes>> free_ ABSL_GUARDED_BY(mutex_);
  size_t held_ ABSL_GUARDED_BY(mutex_) = 0;
};

template <typename Out, typename In>
void Put(Write write, Out&& out, const In& in) {
  if (write == Write::kReplace) {
    out = in;
  } else {
    out += in;
  }
}

class DoneTransfer final : public Transfer {
 public:
  bool done() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
};

class Cpu final : public Backend {
 public:
  Cpu() {
    // Eigen cuts products by cache sizes, which decides the order of sums: the same everywhere, not
    // the machine's own.
    Eigen::setCpuCacheSizes(32 << 10, 512 << 10, 8 << 20);
  }

  const char* name() const override { return "cpu"; }

  std::shared_ptr<void> Allocate(size_t bytes) override {
    void* const memory = pool_.Take(bytes).release();
    return {memory, [this, bytes](void* pointer) {
              pool_.Return(AlignedBytes(static_cast<std::byte*>(pointer)), bytes);
            }};
  }
  void CopyFromHost(const void* host, const Tensor& to) override {
    if (to.bytes() > 0) std::memcpy(to.data(), host, to.bytes());
  }
  std::shared_ptr<void> AllocateHost(size_t bytes) override { return Allocate(bytes); }
  absl::Status CopyToHost(const Tensor& from, void* host) override {
    if (from.bytes() > 0) std::memcpy(host, from.data(), from.bytes());
    return absl::OkStatus();
  }
  std::unique_ptr<Transfer> StartCopyFromHost(const void* host, const Tensor& to) override {
    CopyFromHost(host, to);
    return std::make_unique<DoneTransfer>();
  }
  std::unique_ptr<Transfer> StartCopyToHost(const Tensor& from, void* host) override {
    CopyToHost(from, host).IgnoreError();
    return std::make_unique<DoneTransfer>();
  }
  absl::Status Synchronize() override { return absl::OkStatus(); }

  void Fill(double value, const Tensor& out) override {
    AsArray(out).setConstant(static_cast<float>(value));
  }
  void Cast(const Tensor&, Write, const Tensor&) override { NotYet(); }
  void Affine(double scale, const Tensor& x, double shift, Write write,
              const Tensor& out) override {
    CHECK_EQ(x.num_elements(), out.num_elements());
    Put(write, AsArray(out), static_cast<float>(scale) * AsArray(x) + static_cast<float>(shift));
  }
  void Binary(BinaryOp op, const Tensor& a, const Tensor& b, Write write,
              const Tensor& out) override {
    if (b.num_elements() == 1 && a.num_elements() != 1 && op == BinaryOp::kMultiply) {
      Put(write, AsArray(out), AsArray(a) * b.data()[0]);
      return;
    }
    if (out.shape().rank() > 0 && b.num_elements() == out.shape().back() &&
        a.num_elements() != b.num_elements()) {
      AsMatrix(out) =
          AsMatrix(a).rowwise() + Eigen::Map<const Eigen::RowVectorXf>(b.data(), b.num_elements());
      return;
    }
    CheckSame(a, b, out);
    switch (op) {
      case BinaryOp::kAdd:
        Put(write, AsArray(out), AsArray(a) + AsArray(b));
        break;
      case BinaryOp::kSubtract:
        Put(write, AsArray(out), AsArray(a) - AsArray(b));
        break;
      case BinaryOp::kMultiply:
        Put(write, AsArray(out), AsArray(a) * AsArray(b));
        break;
      case BinaryOp::kDivide:
        Put(write, AsArray(out), AsArray(a) / AsArray(b));
        break;
    }
  }
  void Reduce(Reduction, const Tensor& x, Write write, const Tensor& out) override {
    if (out.num_elements() == 1) {
      double sum = write == Write::kAdd ? static_cast<double>(out.data()[0]) : 0;
      for (const float value : x.span()) sum += static_cast<double>(value);
      out.data()[0] = static_cast<float>(sum);
      return;
    }
    const int64_t columns = x.shape().back();
    CHECK_EQ(columns, out.num_elements());
    if (write == Write::kReplace) Fill(0, out);
    const float* in = x.data();
    float* __restrict sum = out.data();
    for (int64_t row = 0; row < x.shape().rows(); ++row, in += columns) {
      for (int64_t j = 0; j < columns; ++j) sum[j] += in[j];
    }
  }
  absl::StatusOr<bool> AllFinite(const Tensor&) override {
    NotYet();
    return false;
  }

  void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Write write,
              const Tensor& out) override {
    CpuMatMul(a, transpose_a, b, transpose_b, write, out);
  }
  void BatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                   bool transpose_b, Write write, const Tensor& out) override {
    CpuBatchMatMul(scale, a, transpose_a, b, transpose_b, write, out);
  }
  void Permute(const Tensor&, absl::Span<const int>, Write, const Tensor&) override { NotYet(); }
  void ReadSlice(const Tensor&, absl::Span<const int64_t>, Write, const Tensor&) override {
    NotYet();
  }
  void WriteSlice(const Tensor&, absl::Span<const int64_t>, Write, const Tensor&) override {
    NotYet();
  }
  void GatherRows(const Tensor&, const Tensor&, const Tensor&) override { NotYet(); }
  void ScatterAddRows(const Tensor&, const Tensor&, Write, const Tensor&) override { NotYet(); }
  void LogSoftmax(const Tensor&, const Tensor&) override { NotYet(); }
  void LogSoftmaxGradient(const Tensor&, const Tensor&, Write, const Tensor&) override { NotYet(); }
  void LayerNorm(const Tensor&, const Tensor&, const Tensor&, double, const Tensor&, const Tensor&,
                 const Tensor&) override {
    NotYet();
  }
  void LayerNormGradient(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                         Write, const Tensor&) override {
    NotYet();
  }
  void LayerNormParameterGradient(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                  const Tensor&, const Tensor&) override {
    NotYet();
  }
  void BatchNorm(const Tensor&, const Tensor&, const Tensor&, double, const Tensor&, const Tensor&,
                 const Tensor&) override {
    NotYet();
  }
  void BatchNormInference(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                          double, const Tensor&) override {
    NotYet();
  }
  void BatchNormGradient(const Tensor&, const Tensor&, const Tensor&, const Tensor&, double,
                         const Tensor&, Write, const Tensor&, const Tensor&,
                         const Tensor&) override {
    NotYet();
  }
  void Dropout(const Tensor&, double, uint64_t, uint64_t, Write, const Tensor&) override {
    NotYet();
  }

  void Unary(UnaryOp op, const Tensor& x, const Tensor& y) override {
    CHECK_EQ(x.num_elements(), y.num_elements());
    switch (op) {
      case UnaryOp::kRelu:
        AsArray(y) = AsArray(x).max(0.0f);
        break;
      case UnaryOp::kSigmoid:
        AsArray(y) = 1.0f / (1.0f + (-AsArray(x)).exp());
        break;
      case UnaryOp::kTanh:
        AsArray(y) = AsArray(x).tanh();
        break;
      default:
        NotYet();
    }
  }
  void UnaryGradient(UnaryOp op, const Tensor&, const Tensor& y, const Tensor& dy, Write write,
                     const Tensor& dx) override {
    CheckSame(y, dy, dx);
    switch (op) {
      case UnaryOp::kRelu:
        Put(write, AsArray(dx), (AsArray(y) > 0.0f).select(AsArray(dy), 0.0f));
        break;
      case UnaryOp::kSigmoid:
        Put(write, AsArray(dx), AsArray(dy) * AsArray(y) * (1.0f - AsArray(y)));
        break;
      case UnaryOp::kTanh:
        Put(write, AsArray(dx), AsArray(dy) * (1.0f - AsArray(y).square()));
        break;
      default:
        NotYet();
    }
  }

  void Softmax(const Tensor& x, bool, const Tensor& y) override {
    CHECK_EQ(x.num_elements(), y.num_elements());
    const int64_t columns = x.shape().back();
    for (int64_t row = 0; row < x.shape().rows(); ++row) {
      SoftmaxRow(x.data() + row * columns, columns, y.data() + row * columns);
    }
  }
  void SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx) override {
    CheckSame(y, dy, dx);
    const int64_t columns = y.shape().back();
    for (int64_t begin = 0; begin < y.num_elements(); begin += columns) {
      const float* yr = y.data() + begin;
      const float* dyr = dy.data() + begin;
      float* dxr = dx.data() + begin;
      float dot = 0;
      for (int64_t j = 0; j < columns; ++j) dot += yr[j] * dyr[j];
      for (int64_t j = 0; j < columns; ++j) Put(write, dxr[j], yr[j] * (dyr[j] - dot));
    }
  }
  void SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels, const Tensor& probabilities,
                           const Tensor& loss) override {
    const int64_t classes = logits.shape().back();
    const int64_t rows = logits.shape().rows();
    CHECK_EQ(labels.num_elements(), rows);
    double sum = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const float* in = logits.data() + row * classes;
      const int32_t label = labels.int_data()[row];
      CHECK(label >= 0 && label < classes) << "label " << label << " of " << classes << " classes";
      const LogSum log_sum = SoftmaxRow(in, classes, probabilities.data() + row * classes);
      sum +=
          static_cast<double>(log_sum.log_sum) - static_cast<double>(in[label] - log_sum.largest);
    }
    loss.data()[0] = static_cast<float>(sum / static_cast<double>(rows));
  }
  void SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                   const Tensor& dloss, Write write,
                                   const Tensor& dlogits) override {
    const int64_t classes = probabilities.shape().back();
    const int64_t rows = probabilities.shape().rows();
    const float factor = dloss.data()[0] / static_cast<float>(rows);
    for (int64_t row = 0; row < rows; ++row) {
      const float* in = probabilities.data() + row * classes;
      float* out = dlogits.data() + row * classes;
      for (int64_t j = 0; j < classes; ++j) {
        Put(write, out[j], factor * (in[j] - (j == labels.int_data()[row] ? 1.0f : 0.0f)));
      }
    }
  }

  void Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
              const Tensor& y) override {
    CpuConv2d(x, filter, window, y);
  }
  void Conv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                           Write write, const Tensor& dx) override {
    CpuConv2dInputGradient(dy, filter, window, write, dx);
  }
  void Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                            const Tensor& dfilter) override {
    CpuConv2dFilterGradient(x, dy, window, write, dfilter);
  }
  void MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                 const Tensor& argmax) override {
    CpuMaxPool2d(x, window, y, argmax);
  }
  void MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window, Write write,
                         const Tensor& dx) override {
    CpuMaxPool2dGradient(dy, argmax, window, write, dx);
  }
  void AvgPool2d(const Tensor& x, const Window& window, const Tensor& y) override {
    CpuAvgPool2d(x, window, y);
  }
  void AvgPool2dGradient(const Tensor& dy, const Window& window, Write write,
                         const Tensor& dx) override {
    CpuAvgPool2dGradient(dy, window, write, dx);
  }

 private:
  static void NotYet() { LOG(FATAL) << "not there yet"; }

  struct LogSum {
    float largest;
    float log_sum;  // log of the sum of exp(x - largest)
  };

  static LogSum SoftmaxRow(const float* in, int64_t columns, float* out) {
    const float largest = *std::max_element(in, in + columns);
    float sum = 0;
    for (int64_t j = 0; j < columns; ++j) {
      out[j] = std::exp(in[j] - largest);
      sum += out[j];
    }
    for (int64_t j = 0; j < columns; ++j) out[j] /= sum;
    return {largest, std::log(sum)};
  }

  static void CheckSame(const Tensor& a, const Tensor& b, const Tensor& c) {
    CHECK(a.num_elements() == b.num_elements() && b.num_elements() == c.num_elements())
        << a.shape().ToString() << ", " << b.shape().ToString() << ", " << c.shape().ToString();
  }

  Pool pool_;
};

}  // namespace

Backend* CpuBackend() {
  static Cpu* const cpu = new Cpu();
  return cpu;
}

}  // namespace parley
