#ifndef PARLEY_BASE_TESTING_SIMULATION_H_
#define PARLEY_BASE_TESTING_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/testing/simulated_random.h"

namespace parley {

// A Simulation runs a program's threads, unchanged, in one thread of the operating system: exactly
// one at a time, in an order that a seed decides, by a clock that moves only when all of them wait.
// So a run can be repeated to the last switch between threads, a wait of an hour costs nothing, and
// several tasks of a job, each a SimulatedProcess, can be killed, stopped and started again.
//
// It works by taking the place of the C library's calls in the program it is linked into: threads
// (pthread_create, join, detach), mutexes, condition variables, once, futexes (what std::future and
// the guards of statics wait on), clocks and sleeps, and std::random_device. What std::thread,
// base/mutex.h, std::future and Env::Posix()->Now() do inside Run() is simulated; outside of it all
// is as ever. Sockets are not: a simulated task talks through net/testing/simulated_network.h.
// Threads change places where they take and give back locks, notify, wait and end, never between;
// so data races without any lock are for ThreadSanitizer to find.
//
// x86-64 Linux; not with ASan and TSan, which take the same calls (kCanSimulate). The program must
// have no other threads. Thread safety: none is needed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCanSimulate = false;
#else
constexpr bool kCanSimulate = true;
#endif

// Threads that live and die together. Owned by the Simulation.
class SimulatedProcess;

struct SimulationOptions {
  uint64_t seed = 1;
  // One of so many locks, unlocks and notifications lets another thread run first; 0: none does.
  int64_t switch_one_in = 0;
  // Of those, one of so many waits besides, for up to a millisecond; 0: none does.
  int64_t delay_one_in = 0;
  // The clock may go so far.
  absl::Duration limit = absl::Hours(1);
};

class Simulation {
 public:
  // Runs `body` on the first thread, of a process of its own, until it returns, and drops what runs
  // then: nothing is destroyed. So a program forks for each run. When all threads wait
  // for ever, or the limit is over, `stuck` is called, with what they are, on a thread's stack, and
  // must not return. One Simulation at a time.
  static void Run(const SimulationOptions& options, const std::function<void()>& body,
                  const std::function<void(const std::string& why)>& stuck);

  // All that follows only inside Run. The simulated steady time, from 0.
  static absl::Duration Elapsed();
  static SimulatedRandom& random();
  // Of all that happened: equal in two runs that went the same way.
  static uint64_t trace();
  // What enters the trace.
  static void Note(uint64_t what);
  static int64_t switches();

  static SimulatedProcess* NewProcess(const std::string& name);
  static SimulatedProcess* current();
  static bool IsAlive(const SimulatedProcess* process);
  // A thread of `process`.
  static void Spawn(SimulatedProcess* process, const std::string& name, std::function<void()> body);
  // As SIGKILL: its threads run no more, and nothing of it is destroyed. Not from its own threads.
  static void Kill(SimulatedProcess* process);
  // As SIGSTOP until SIGCONT: for so long none of its threads runs.
  static void Pause(SimulatedProcess* process, absl::Duration duration);

  // Runs `event` after `delay`, between two steps of threads; it must not wait, nor take a lock.
  static void After(absl::Duration delay, absl::AnyInvocable<void()> event);

  // What a model of something outside of the program waits on: any address. Wait returns true when
  // `timeout` passed first.
  static bool Wait(const void* address, absl::Duration timeout);
  static void WakeAll(const void* address);
  static void Sleep(absl::Duration duration);

  // The threads, and where they stand: addresses in the program, for addr2line.
  static std::string Describe();

  // Sets the wall clock, not the steady one, forward or back.
  static void SetWallClock(absl::Duration by);
};

}  // namespace parley

#endif  // PARLEY_BASE_TESTING_SIMULATION_H_
