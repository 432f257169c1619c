// How fast copies between a GPU and the host are, against the limit measured in the same run: bare
// cudaMemcpyAsync of pinned memory in one stream. One JSON line a case; GB/s are 1e9 bytes a
// second, of_limit is the share of that direction's limit at the same size.
//
//   limit/up, limit/down     the limit
//   start/up, start/down     Backend::StartCopyFromHost, StartCopyToHost of memory of AllocateHost
//   start/both               both at once; GB/s and of_limit are of the slower one
//   copy/up, copy/down       CopyFromHost, CopyToHost of ordinary memory
//   blocks/down              a tensor of 256 MiB in pieces of this size, as gradients leave
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/flags.h"
#include "cuda/cuda_backend.h"
#include "gflags/gflags.h"
#include "tensor/backend.h"
#include "tensor/tensor.h"

DEFINE_int32(device, 0, "Number of the CUDA device.");

namespace parley {
namespace {

constexpr int kRounds = 7;
constexpr size_t kRoundBytes = size_t{1} << 30;  // copied in one round, at least one copy
constexpr size_t kModelBytes = size_t{256} << 20;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "copy_bench: " << status << std::endl;
  std::exit(1);
}

void Require(cudaError_t error) {
  if (error != cudaSuccess) Require(absl::InternalError(cudaGetErrorString(error)));
}

int CopiesOf(size_t bytes) {
  return static_cast<int>(std::clamp<size_t>(kRoundBytes / bytes, 1, 2000));
}

// GB/s of `round`, which copies `bytes`: the median of several, after one that is not counted.
template <typename Round>
double Measure(double bytes, Round round) {
  std::vector<double> rates;
  for (int i = 0; i <= kRounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    round();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (i > 0) rates.push_back(bytes / taken.count() / 1e9);
  }
  std::nth_element(rates.begin(), rates.begin() + kRounds / 2, rates.end());
  return rates[kRounds / 2];
}

void Print(const std::string& name, size_t bytes, double rate, double limit) {
  std::cout << absl::StrFormat("{\"case\":\"%s\",\"bytes\":%d,\"gb_s\":%.2f,\"of_limit\":%.3f}",
                               name, bytes, rate, rate / limit)
            << std::endl;
}

double MeasureLimit(size_t bytes, cudaMemcpyKind kind) {
  void* host = nullptr;
  void* device = nullptr;
  cudaStream_t stream = nullptr;
  Require(cudaHostAlloc(&host, bytes, cudaHostAllocPortable));
  Require(cudaMalloc(&device, bytes));
  Require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const bool up = kind == cudaMemcpyHostToDevice;
  const int copies = CopiesOf(bytes);
  const double rate = Measure(static_cast<double>(bytes) * copies, [&] {
    for (int i = 0; i < copies; ++i) {
      Require(cudaMemcpyAsync(up ? device : host, up ? host : device, bytes, kind, stream));
    }
    Require(cudaStreamSynchronize(stream));
  });
  Require(cudaStreamDestroy(stream));
  Require(cudaFree(device));
  Require(cudaFreeHost(host));
  return rate;
}

void Run(Backend* backend, size_t bytes) {
  const double up = MeasureLimit(bytes, cudaMemcpyHostToDevice);
  const double down = MeasureLimit(bytes, cudaMemcpyDeviceToHost);
  Print("limit/up", bytes, up, up);
  Print("limit/down", bytes, down, down);

  const Shape shape = {static_cast<int64_t>(bytes / sizeof(float))};
  const Tensor to(backend, shape), from(backend, shape);
  backend->Fill(1, to);
  backend->Fill(1, from);
  const std::shared_ptr<void> pinned_up = backend->AllocateHost(bytes);
  const std::shared_ptr<void> pinned_down = backend->AllocateHost(bytes);
  std::fill_n(static_cast<char*>(pinned_up.get()), bytes, 1);
  std::fill_n(static_cast<char*>(pinned_down.get()), bytes, 1);
  const int copies = CopiesOf(bytes);
  const double round_bytes = static_cast<double>(bytes) * copies;

  const auto start = [&](bool copy_up, bool copy_down) {
    return Measure(round_bytes, [&] {
      std::unique_ptr<Transfer> last_up, last_down;
      for (int i = 0; i < copies; ++i) {
        if (copy_up) last_up = backend->StartCopyFromHost(pinned_up.get(), to);
        if (copy_down) last_down = backend->StartCopyToHost(from, pinned_down.get());
      }
      if (last_up != nullptr) Require(last_up->Wait());
      if (last_down != nullptr) Require(last_down->Wait());
    });
  };
  Print("start/up", bytes, start(true, false), up);
  Print("start/down", bytes, start(false, true), down);
  Print("start/both", bytes, start(true, true), std::min(up, down));

  std::vector<char> ordinary(bytes, 1);
  Print("copy/up", bytes,
        Measure(round_bytes,
                [&] {
                  for (int i = 0; i < copies; ++i) backend->CopyFromHost(ordinary.data(), to);
                  Require(backend->Synchronize());
                }),
        up);
  Print("copy/down", bytes,
        Measure(round_bytes,
                [&] {
                  for (int i = 0; i < copies; ++i)
                    Require(backend->CopyToHost(from, ordinary.data()));
                }),
        down);

  const std::shared_ptr<void> model = backend->AllocateHost(kModelBytes);
  std::fill_n(static_cast<char*>(model.get()), kModelBytes, 1);
  const std::vector<Tensor> pieces(kModelBytes / bytes, from);
  Print("blocks/down", bytes,
        Measure(static_cast<double>(bytes * pieces.size()),
                [&] {
                  std::vector<std::unique_ptr<Transfer>> transfers;
                  for (size_t i = 0; i < pieces.size(); ++i) {
                    transfers.push_back(backend->StartCopyToHost(
                        pieces[i], static_cast<char*>(model.get()) + i * bytes));
                  }
                  for (const auto& transfer : transfers) Require(transfer->Wait());
                }),
        down);
}

int Main(int argc, char** argv) {
  CommandLine command_line;
  command_line.program = "copy_bench";
  command_line.usage =
      "copy_bench [flags]\n\nMeasures copies between a CUDA device and the host, against what "
      "pinned memory allows.";
  command_line.groups = {{"The device", {"device"}}};
  ParseFlags(command_line, argc, argv);
  const absl::StatusOr<Backend*> backend = CudaBackend(FLAGS_device);
  if (!backend.ok()) Require(backend.status());
  Require(cudaSetDevice(FLAGS_device));
  for (const size_t bytes : {size_t{64} << 10, size_t{1} << 20, size_t{16} << 20, kModelBytes}) {
    Run(*backend, bytes);
  }
  return 0;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) { return parley::Main(argc, argv); }
