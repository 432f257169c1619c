#include "ps/shard_status.h"

namespace parley {

void FillStatus(const ShardNumbers& numbers, v1::GetStatusResponse* response) {
  using Worker = v1::GetStatusResponse::Worker;
  for (const ShardNumbers::Worker& worker : numbers.workers) {
    Worker* const status = response->add_workers();
    status->set_state(worker.silent ? Worker::SILENT
                      : worker.live ? Worker::LIVE
                      : worker.left ? Worker::LEFT
                                    : Worker::ABSENT);
    status->set_clock(worker.clock);
    status->set_silence_ms(absl::ToInt64Milliseconds(worker.silence));
    status->set_waited_for_ms(absl::ToInt64Milliseconds(worker.waited_for));
  }
  response->set_num_workers(numbers.members);
  response->set_workers_asked(numbers.workers_asked);
  response->set_min_version(numbers.min_version);
  response->set_max_version(numbers.max_version);
  response->set_pushes(numbers.staleness.pushes());
  response->set_staleness_sum(numbers.staleness.sum());
  response->set_staleness_max(numbers.staleness.max());
  for (const int64_t count : numbers.staleness.counts()) response->add_staleness_counts(count);
  response->set_dropped(numbers.late);
  response->set_bytes_pushed(numbers.bytes_pushed);
  response->set_bytes_pulled(numbers.bytes_pulled);
  response->set_blocks(numbers.blocks);
  response->set_bytes(numbers.bytes);
  response->set_rounds(numbers.rounds);
  response->set_rounds_queued(numbers.rounds_queued);
  response->set_requests_waiting(numbers.push_pulls_waiting + numbers.joins_waiting +
                                 numbers.barriers_waiting);
  if (numbers.replica.has_value()) {
    response->mutable_replica()->set_whole(numbers.replica->whole);
    response->mutable_replica()->set_lag_ms(absl::ToInt64Milliseconds(numbers.replica->lag));
  }
}

void ForgetSilent(absl::Duration lease, v1::GetStatusResponse* response) {
  for (v1::GetStatusResponse::Worker& worker : *response->mutable_workers()) {
    if (!worker.has_report() || absl::Milliseconds(worker.silence_ms()) < lease) continue;
    worker.mutable_report()->clear_loss();
    worker.mutable_report()->clear_samples_per_second();
  }
}

}  // namespace parley
