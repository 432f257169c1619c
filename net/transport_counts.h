#ifndef PARLEY_NET_TRANSPORT_COUNTS_H_
#define PARLEY_NET_TRANSPORT_COUNTS_H_

#include <atomic>
#include <cstdint>

namespace parley {

// What a task's clients asked of it by one transport. Thread safety: safe from any thread; the
// numbers need not belong to one moment.
class TransportCounts {
 public:
  void Came(int64_t bytes) {
    Add(&requests_, 1);
    Add(&received_bytes_, bytes);
  }
  void Answered(bool ok, int64_t bytes) {
    Add(&answers_, 1);
    if (!ok) Add(&failed_, 1);
    Add(&sent_bytes_, bytes);
  }

  int64_t requests() const { return requests_.load(std::memory_order_relaxed); }
  // That were answered with an error.
  int64_t failed() const { return failed_.load(std::memory_order_relaxed); }
  int64_t in_progress() const {
    const int64_t answers = answers_.load(std::memory_order_relaxed);
    const int64_t requests = requests_.load(std::memory_order_relaxed);
    return requests > answers ? requests - answers : 0;
  }
  int64_t received_bytes() const { return received_bytes_.load(std::memory_order_relaxed); }
  int64_t sent_bytes() const { return sent_bytes_.load(std::memory_order_relaxed); }

 private:
  static void Add(std::atomic<int64_t>* number, int64_t value) {
    number->fetch_add(value, std::memory_order_relaxed);
  }

  std::atomic<int64_t> requests_{0};
  std::atomic<int64_t> answers_{0};
  std::atomic<int64_t> failed_{0};
  std::atomic<int64_t> received_bytes_{0};
  std::atomic<int64_t> sent_bytes_{0};
};

}  // namespace parley

#endif  // PARLEY_NET_TRANSPORT_COUNTS_H_
