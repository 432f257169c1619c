#ifndef PARLEY_BENCH_LIMITS_H_
#define PARLEY_BENCH_LIMITS_H_

#include <cstddef>

namespace parley::bench {

// What a machine can do at this moment, for benchmarks to divide by: measured in the same run,
// since machines are shared. Each function takes about a second; rates are the median of many
// repetitions. They end the process when the system refuses something.

// Bytes copied in a second, by one thread, between buffers of `bytes`.
double MemcpyRate(size_t bytes);

// Bytes in a second, both ways counted, of a loop that sends `bytes` over a TCP connection on the
// loopback device, and receives as many back, from a thread that reads all and then writes all.
double TcpRate(size_t bytes);

// The same over ZeroMQ: `messages` messages of `bytes` each, sent one after another without a copy;
// the server adds each to a sum and sends the sum back.
double ZeromqRate(size_t messages, size_t bytes);

// Seconds of a round trip, the median: a futex woken by another thread and back.
double FutexRoundTrip();

// Seconds of an empty unary call over gRPC, the median, to a process that is in AnswerEmptyCalls,
// which prints "port N" and does not return.
double GrpcRoundTrip(int port);
void AnswerEmptyCalls();

}  // namespace parley::bench

#endif  // PARLEY_BENCH_LIMITS_H_
