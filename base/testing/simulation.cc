#include "base/testing/simulation.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

// Saves the callee's registers and the stack's top at *save, and goes on at another's.
extern "C" void parley_switch_stacks(void** save, void* to);
asm(R"(
.text
.globl parley_switch_stacks
.type parley_switch_stacks,@function
parley_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size parley_switch_stacks, .-parley_switch_stacks
)");

namespace parley {

class SimulatedProcess {
 public:
  std::string name;
  bool alive = true;
  int64_t paused_until = 0;  // nanoseconds
  std::vector<struct SimulatedThread*> parked;
};

struct SimulatedThread {
  enum class State { kReady, kRunning, kWaiting, kEnded, kDead };
  SimulatedProcess* process = nullptr;
  std::string name;
  int id = 0;
  State state = State::kReady;
  std::function<void()> body;
  void* (*start)(void*) = nullptr;  // instead of body
  void* argument = nullptr;
  void* result = nullptr;
  char* stack = nullptr;
  void* top = nullptr;  // of the stack, while it does not run
  // What it waits on; a wait has ended when the number is another.
  const void* waits_on = nullptr;
  uint64_t wait = 0;
  bool timed_out = false;
  int saved_errno = 0;
  std::vector<pthread_mutex_t*> held;
};

namespace {

using Thread = SimulatedThread;

constexpr size_t kStackBytes = size_t{256} << 10;
constexpr int64_t kForever = INT64_MAX;
constexpr int64_t kSteadyBase = int64_t{1000} * 1000000000;
constexpr int64_t kWallBase = int64_t{1700000000} * 1000000000;

struct Timer {
  int64_t time;
  uint64_t order;
  Thread* thread;  // or null: the event
  uint64_t wait;
  absl::AnyInvocable<void()> event;
  bool operator<(const Timer& other) const {
    return time != other.time ? time > other.time : order > other.order;
  }
};

struct Waiter {
  Thread* thread;
  uint64_t wait;
};

struct ReaderWriter {
  int readers = 0;
  bool writer = false;
};

class Scheduler {
 public:
  Scheduler(const SimulationOptions& options,
            const std::function<void(const std::string& why)>& stuck)
      : options_(options), stuck_(stuck), random_(options.seed) {}

  void Run(const std::function<void()>& body);

  Thread* NewThread(SimulatedProcess* process, const std::string& name) {
    Thread* const thread = new Thread();
    thread->process = process;
    thread->name = name;
    thread->id = ++threads_;
    thread->stack = NewStack();
    void** top = reinterpret_cast<void**>(thread->stack + kStackBytes);
    *--top = nullptr;  // what the first function would return to; keeps the stack aligned
    *--top = reinterpret_cast<void*>(&Scheduler::Begin);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    thread->top = top;
    all_.push_back(thread);
    MakeReady(thread);
    return thread;
  }

  // The current thread waits on `address` until it is woken or `deadline`, in steady nanoseconds.
  bool WaitUntil(const void* address, int64_t deadline) {
    Thread* const self = current_;
    self->waits_on = address;
    self->timed_out = false;
    self->state = Thread::State::kWaiting;
    if (address != nullptr) waiters_[address].push_back({self, self->wait});
    if (deadline != kForever) AddTimer(deadline, self, self->wait, nullptr);
    Leave();
    return self->timed_out;
  }

  // Wakes up to `most` who wait there, drawn at random.
  int Wake(const void* address, int most) {
    const auto found = waiters_.find(address);
    if (found == waiters_.end()) return 0;
    std::vector<Waiter>& waiters = found->second;
    int woken = 0;
    while (woken < most && !waiters.empty()) {
      const size_t i = static_cast<size_t>(random_.Below(static_cast<int64_t>(waiters.size())));
      const Waiter waiter = waiters[i];
      waiters[i] = waiters.back();
      waiters.pop_back();
      if (!StillWaits(waiter)) continue;
      EndWait(waiter.thread, false);
      ++woken;
    }
    if (waiters.empty()) waiters_.erase(found);
    return woken;
  }

  // Lets others run first, now and then.
  void MaySwitch() {
    if (in_event_ || !random_.OneIn(options_.switch_one_in)) return;
    if (random_.OneIn(options_.delay_one_in)) {
      WaitUntil(nullptr, now_ + 1 + random_.Below(1000000));
      return;
    }
    Yield();
  }
  void Yield() {
    MakeReady(current_);
    Leave();
  }

  void Lock(pthread_mutex_t* mutex) {
    MaySwitch();
    TakeLock(mutex);
  }
  void TakeLock(pthread_mutex_t* mutex) {
    while (!TryLock(mutex)) {
      if (in_event_) Die("an event takes a lock that is held");
      ++mutex->__data.__nusers;  // others look for who waits
      WaitUntil(mutex, kForever);
    }
  }
  bool TryLock(pthread_mutex_t* mutex) {
    auto& data = mutex->__data;
    if (data.__lock != 0) {
      if ((data.__kind & 3) != PTHREAD_MUTEX_RECURSIVE || data.__owner != current_->id)
        return false;
      ++data.__count;
      return true;
    }
    data.__lock = 1;
    data.__owner = current_->id;
    data.__count = 1;
    current_->held.push_back(mutex);
    return true;
  }
  void GiveLock(pthread_mutex_t* mutex) {
    auto& data = mutex->__data;
    if (--data.__count > 0 && (data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE) return;
    auto& held = current_->held;
    for (size_t i = held.size(); i-- > 0;) {
      if (held[i] != mutex) continue;
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
    Free(mutex);
  }
  void Unlock(pthread_mutex_t* mutex) {
    GiveLock(mutex);
    MaySwitch();
  }

  bool WaitFor(pthread_cond_t* condition, pthread_mutex_t* mutex, int64_t deadline) {
    // A wait may end without a reason.
    const bool spurious = options_.switch_one_in > 0 && random_.OneIn(500);
    if (spurious) deadline = std::min(deadline, now_ + random_.Below(1000000));
    // Nobody runs between giving the lock and waiting.
    Thread* const self = current_;
    GiveLock(mutex);
    const bool timed_out = WaitUntil(condition, deadline);
    (void)self;
    TakeLock(mutex);
    return timed_out && !spurious;
  }

  void Kill(SimulatedProcess* process) {
    if (process == current_->process) Die("a process kills itself");
    process->alive = false;
    process->parked.clear();
    for (Thread* thread : all_) {
      if (thread->process != process) continue;
      if (thread->state == Thread::State::kEnded || thread->state == Thread::State::kDead) continue;
      thread->state = Thread::State::kDead;
      ++thread->wait;
      // What is the program's as a whole must not stay locked.
      for (pthread_mutex_t* mutex : thread->held) Free(mutex);
      for (void* once : onces_[thread]) {
        *static_cast<pthread_once_t*>(once) = PTHREAD_ONCE_INIT;
        Wake(once, INT32_MAX);
      }
      for (pthread_rwlock_t* lock : read_[thread]) GiveReaderWriter(lock);
      onces_.erase(thread);
      read_.erase(thread);
      free_stacks_.push_back(thread->stack);
      thread->stack = nullptr;
    }
  }
  void Pause(SimulatedProcess* process, int64_t nanoseconds) {
    process->paused_until = std::max(process->paused_until, now_ + nanoseconds);
    AddTimer(process->paused_until, nullptr, 0, [this, process] {
      if (process->paused_until > now_) return;
      std::vector<Thread*> parked = std::move(process->parked);
      process->parked.clear();
      for (Thread* thread : parked) ready_.push_back(thread);
    });
  }

  void AddTimer(int64_t time, Thread* thread, uint64_t wait, absl::AnyInvocable<void()> event) {
    timers_.push_back({std::max(time, now_), ++order_, thread, wait, std::move(event)});
    std::push_heap(timers_.begin(), timers_.end());
  }

  int Join(Thread* thread, void** result) {
    while (thread->state != Thread::State::kEnded) WaitUntil(thread, kForever);
    if (result != nullptr) *result = thread->result;
    return 0;
  }

  void Once(pthread_once_t* once, void (*routine)()) {
    constexpr int kRunning = 1, kDone = 2;  // as glibc's
    for (;;) {
      if (*once == kDone) return;
      if (*once == PTHREAD_ONCE_INIT) break;
      WaitUntil(once, kForever);
    }
    *once = kRunning;
    onces_[current_].push_back(once);
    routine();
    onces_[current_].pop_back();
    *once = kDone;
    Wake(once, INT32_MAX);
  }

  void LockReaderWriter(pthread_rwlock_t* lock, bool writes) {
    for (;;) {
      ReaderWriter& state = reader_writers_[lock];
      if (!state.writer && (!writes || state.readers == 0)) {
        state.writer = writes;
        if (!writes) ++state.readers;
        read_[current_].push_back(lock);
        return;
      }
      WaitUntil(lock, kForever);
    }
  }
  void UnlockReaderWriter(pthread_rwlock_t* lock) {
    auto& held = read_[current_];
    const auto found = std::find(held.begin(), held.end(), lock);
    if (found != held.end()) held.erase(found);
    GiveReaderWriter(lock);
  }

  int64_t Read(clockid_t clock) {
    const bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    // Who looks at a clock again and again gets on; the log, which looks at the other one, changes
    // nothing.
    if (!wall) now_ += 20;
    return now_ + (wall ? kWallBase + wall_offset_ : kSteadyBase);
  }
  // Steady nanoseconds, as WaitUntil has them.
  int64_t FromClock(clockid_t clock, const timespec& time) const {
    const bool wall = clock == CLOCK_REALTIME;
    const int64_t base = wall ? kWallBase + wall_offset_ : kSteadyBase;
    if (time.tv_sec > int64_t{4000000000}) return kForever;
    return time.tv_sec * 1000000000 + time.tv_nsec - base;
  }

  int64_t now() const { return now_; }
  Thread* current() const { return current_; }
  SimulatedRandom& random() { return random_; }
  uint64_t trace() const { return trace_; }
  void Note(uint64_t what) { trace_ = (trace_ ^ what) * 0x100000001b3; }
  int64_t switches() const { return switches_; }
  void SetWallClock(int64_t by) { wall_offset_ += by; }

  // Every thread, with the addresses that its functions return to.
  std::string Describe() const {
    std::string text = absl::StrCat(", at ", absl::FormatDuration(absl::Nanoseconds(now_)));
    for (const Thread* thread : all_) {
      if (thread->state == Thread::State::kEnded || thread->state == Thread::State::kDead) continue;
      const bool here = thread == current_;
      absl::StrAppend(&text, "\n  ", thread->process->name, ": ", thread->name, " #", thread->id,
                      here                                       ? " is here"
                      : thread->state == Thread::State::kWaiting ? " waits"
                                                                 : " is ready");
      if (here) continue;
      // As parley_switch_stacks leaves it: five registers, the frame's, the return address.
      const char* const end = thread->stack + kStackBytes;
      const char* frame = static_cast<const char*>(thread->top) + 5 * sizeof(void*);
      for (int i = 0; i < 14; ++i) {
        const auto* const words = reinterpret_cast<void* const*>(frame);
        absl::StrAppend(&text, " ", absl::Hex(reinterpret_cast<uintptr_t>(words[1])));
        frame = static_cast<const char*>(words[0]);
        if (frame < thread->top || frame + 2 * sizeof(void*) > end) break;
      }
    }
    return text;
  }

  [[noreturn]] void Die(const std::string& why) {
    const std::string text = absl::StrCat(why, Describe());
    const auto stuck = stuck_;
    Deactivate();
    stuck(text);
    std::abort();
  }

 private:
  static void Begin();
  static void Deactivate();

  char* NewStack() {
    if (!free_stacks_.empty()) {
      char* const stack = free_stacks_.back();
      free_stacks_.pop_back();
      return stack;
    }
    void* const memory = mmap(nullptr, kStackBytes + 4096, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) Die("no memory for a stack");
    mprotect(memory, 4096, PROT_NONE);
    return static_cast<char*>(memory) + 4096;
  }

  void MakeReady(Thread* thread) {
    thread->state = Thread::State::kReady;
    ready_.push_back(thread);
  }
  static bool StillWaits(const Waiter& waiter) {
    return waiter.thread->state == Thread::State::kWaiting && waiter.thread->wait == waiter.wait;
  }
  void EndWait(Thread* thread, bool timed_out) {
    ++thread->wait;
    thread->timed_out = timed_out;
    thread->waits_on = nullptr;
    MakeReady(thread);
  }
  void Free(pthread_mutex_t* mutex) {
    auto& data = mutex->__data;
    data.__lock = 0;
    data.__owner = 0;
    data.__count = 0;
    if (data.__nusers == 0) return;
    data.__nusers = 0;
    Wake(mutex, INT32_MAX);  // each looks again, and says again that it waits
  }
  void GiveReaderWriter(pthread_rwlock_t* lock) {
    ReaderWriter& state = reader_writers_[lock];
    if (state.writer) {
      state.writer = false;
    } else {
      --state.readers;
    }
    if (state.readers == 0) reader_writers_.erase(lock);
    Wake(lock, INT32_MAX);
  }

  // Another thread runs; returns when this one does again.
  void Leave() {
    if (in_event_) Die("an event waits");
    Thread* const self = current_;
    Thread* const next = Next();
    if (next == self) {
      self->state = Thread::State::kRunning;
      return;
    }
    ++switches_;
    self->saved_errno = errno;
    Go(&self->top, next);
    errno = self->saved_errno;
  }
  void Go(void** save, Thread* next) {
    Note(static_cast<uint64_t>(next->id) + (static_cast<uint64_t>(now_) << 16));
    current_ = next;
    next->state = Thread::State::kRunning;
    parley_switch_stacks(save, next->top);
  }

  Thread* Next() {
    for (;;) {
      while (!timers_.empty() && timers_.front().time <= now_) Fire();
      while (!ready_.empty()) {
        const size_t i = static_cast<size_t>(random_.Below(static_cast<int64_t>(ready_.size())));
        Thread* const thread = ready_[i];
        ready_[i] = ready_.back();
        ready_.pop_back();
        if (thread->state != Thread::State::kReady) continue;
        if (thread->process->paused_until > now_) {
          thread->process->parked.push_back(thread);
          continue;
        }
        return thread;
      }
      if (timers_.empty()) Die("all threads wait for ever");
      now_ = std::max(now_, timers_.front().time);
      if (now_ > absl::ToInt64Nanoseconds(options_.limit)) Die("the time is over");
    }
  }

  void Fire() {
    std::pop_heap(timers_.begin(), timers_.end());
    Timer timer = std::move(timers_.back());
    timers_.pop_back();
    if (timer.thread == nullptr) {
      in_event_ = true;
      timer.event();
      timer.event = nullptr;
      in_event_ = false;
    } else if (StillWaits({timer.thread, timer.wait})) {
      EndWait(timer.thread, true);
    }
  }

  const SimulationOptions options_;
  const std::function<void(const std::string& why)> stuck_;
  SimulatedRandom random_;
  int64_t now_ = 0;
  int64_t wall_offset_ = 0;
  uint64_t order_ = 0;
  uint64_t trace_ = 0xcbf29ce484222325;
  int64_t switches_ = 0;
  int threads_ = 0;
  bool in_event_ = false;
  Thread* current_ = nullptr;
  void* outside_ = nullptr;  // the stack of Run's caller
  std::vector<Thread*> all_;
  std::vector<Thread*> ready_;
  std::vector<Timer> timers_;  // a heap
  std::unordered_map<const void*, std::vector<Waiter>> waiters_;
  std::unordered_map<void*, ReaderWriter> reader_writers_;
  std::map<Thread*, std::vector<pthread_rwlock_t*>> read_;
  std::map<Thread*, std::vector<void*>> onces_;
  std::vector<char*> free_stacks_;
};

Scheduler* g_scheduler = nullptr;  // null: nothing is simulated

void Scheduler::Deactivate() { g_scheduler = nullptr; }

void Scheduler::Begin() {
  {
    Thread* const self = g_scheduler->current_;
    if (self->start != nullptr) {
      self->result = self->start(self->argument);
    } else {
      const std::function<void()> body = std::move(self->body);
      body();
    }
  }
  Scheduler* const scheduler = g_scheduler;
  Thread* const self = scheduler->current_;
  self->state = Thread::State::kEnded;
  ++self->wait;
  if (self->id == 1) parley_switch_stacks(&self->top, scheduler->outside_);
  // Nobody takes the stack before this thread has left it.
  scheduler->free_stacks_.push_back(self->stack);
  scheduler->Wake(self, INT32_MAX);
  scheduler->Go(&self->top, scheduler->Next());
}

void Scheduler::Run(const std::function<void()>& body) {
  SimulatedProcess* const process = new SimulatedProcess();
  process->name = "simulation";
  Thread* const first = NewThread(process, "first");
  first->body = body;
  ready_.clear();
  g_scheduler = this;
  Go(&outside_, first);
  g_scheduler = nullptr;
}

template <typename Function>
Function* Real(Function* /*type*/, const char* name, const char* version = nullptr) {
  void* const found =
      version == nullptr ? dlsym(RTLD_NEXT, name) : dlvsym(RTLD_NEXT, name, version);
  return reinterpret_cast<Function*>(found);
}

timespec ToTimespec(int64_t nanoseconds) {
  timespec time;
  time.tv_sec = nanoseconds / 1000000000;
  time.tv_nsec = nanoseconds % 1000000000;
  return time;
}

long Futex(Scheduler* scheduler, int* address, int operation, int value, const timespec* timeout) {
  const bool wall = (operation & FUTEX_CLOCK_REALTIME) != 0;
  switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET: {
      if (__atomic_load_n(address, __ATOMIC_SEQ_CST) != value) {
        errno = EAGAIN;
        return -1;
      }
      int64_t deadline = kForever;
      if (timeout != nullptr && (operation & FUTEX_CMD_MASK) == FUTEX_WAIT) {
        deadline = scheduler->now() + timeout->tv_sec * 1000000000 + timeout->tv_nsec;
      } else if (timeout != nullptr) {
        deadline = scheduler->FromClock(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, *timeout);
      }
      if (!scheduler->WaitUntil(address, deadline)) return 0;
      errno = ETIMEDOUT;
      return -1;
    }
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET: {
      const int woken = scheduler->Wake(address, value);
      scheduler->MaySwitch();
      return woken;
    }
    default:
      scheduler->Die("a futex operation that is not simulated");
  }
}

}  // namespace

void Simulation::Run(const SimulationOptions& options, const std::function<void()>& body,
                     const std::function<void(const std::string& why)>& stuck) {
  Scheduler* const scheduler = new Scheduler(options, stuck);  // dropped threads may refer to it
  scheduler->Run(body);
}

absl::Duration Simulation::Elapsed() { return absl::Nanoseconds(g_scheduler->now()); }
SimulatedRandom& Simulation::random() { return g_scheduler->random(); }
uint64_t Simulation::trace() { return g_scheduler->trace(); }
void Simulation::Note(uint64_t what) { g_scheduler->Note(what); }
int64_t Simulation::switches() { return g_scheduler->switches(); }

SimulatedProcess* Simulation::NewProcess(const std::string& name) {
  SimulatedProcess* const process = new SimulatedProcess();
  process->name = name;
  return process;
}
SimulatedProcess* Simulation::current() { return g_scheduler->current()->process; }
bool Simulation::IsAlive(const SimulatedProcess* process) { return process->alive; }

void Simulation::Spawn(SimulatedProcess* process, const std::string& name,
                       std::function<void()> body) {
  g_scheduler->NewThread(process, name)->body = std::move(body);
}
void Simulation::Kill(SimulatedProcess* process) { g_scheduler->Kill(process); }
void Simulation::Pause(SimulatedProcess* process, absl::Duration duration) {
  g_scheduler->Pause(process, absl::ToInt64Nanoseconds(duration));
}
void Simulation::After(absl::Duration delay, absl::AnyInvocable<void()> event) {
  g_scheduler->AddTimer(g_scheduler->now() + absl::ToInt64Nanoseconds(delay), nullptr, 0,
                        std::move(event));
}
bool Simulation::Wait(const void* address, absl::Duration timeout) {
  const bool ends = timeout < absl::Hours(1000);
  return g_scheduler->WaitUntil(
      address, ends ? g_scheduler->now() + absl::ToInt64Nanoseconds(timeout) : kForever);
}
void Simulation::WakeAll(const void* address) { g_scheduler->Wake(address, INT32_MAX); }
void Simulation::Sleep(absl::Duration duration) { Wait(nullptr, duration); }
std::string Simulation::Describe() { return g_scheduler->Describe(); }
void Simulation::SetWallClock(absl::Duration by) {
  g_scheduler->SetWallClock(absl::ToInt64Nanoseconds(by));
}

}  // namespace parley

// The C library's calls. Outside of a simulation they are its own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

using parley::g_scheduler;
using parley::kForever;
using parley::Real;
using parley::Thread;

extern "C" {

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_create, "pthread_create");
    return real(thread, attributes, start, argument);
  }
  Thread* const made = g_scheduler->NewThread(
      g_scheduler->current()->process, absl::StrCat("thread of #", g_scheduler->current()->id));
  made->start = start;
  made->argument = argument;
  *thread = reinterpret_cast<pthread_t>(made);
  g_scheduler->MaySwitch();
  return 0;
}

int pthread_join(pthread_t thread, void** result) {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_join, "pthread_join");
    return real(thread, result);
  }
  return g_scheduler->Join(reinterpret_cast<Thread*>(thread), result);
}

int pthread_detach(pthread_t thread) noexcept {
  if (g_scheduler != nullptr) return 0;
  static const auto real = Real(&pthread_detach, "pthread_detach");
  return real(thread);
}

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  if (g_scheduler == nullptr) {
    static int (*real)(pthread_mutex_t*) = nullptr;  // may run before any other code
    if (real == nullptr) real = Real<int(pthread_mutex_t*)>(nullptr, "pthread_mutex_lock");
    return real(mutex);
  }
  g_scheduler->Lock(mutex);
  return 0;
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_mutex_trylock, "pthread_mutex_trylock");
    return real(mutex);
  }
  return g_scheduler->TryLock(mutex) ? 0 : EBUSY;
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  if (g_scheduler == nullptr) {
    static int (*real)(pthread_mutex_t*) = nullptr;
    if (real == nullptr) real = Real<int(pthread_mutex_t*)>(nullptr, "pthread_mutex_unlock");
    return real(mutex);
  }
  g_scheduler->Unlock(mutex);
  return 0;
}

int pthread_once(pthread_once_t* once, void (*routine)()) {
  if (g_scheduler == nullptr) {
    static int (*real)(pthread_once_t*, void (*)()) = nullptr;
    if (real == nullptr) real = Real<int(pthread_once_t*, void (*)())>(nullptr, "pthread_once");
    return real(once, routine);
  }
  g_scheduler->Once(once, routine);
  return 0;
}

constexpr char kConditionVersion[] = "GLIBC_2.3.2";

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_cond_wait, "pthread_cond_wait", kConditionVersion);
    return real(condition, mutex);
  }
  g_scheduler->WaitFor(condition, mutex, kForever);
  return 0;
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* deadline) {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_cond_clockwait, "pthread_cond_clockwait");
    return real(condition, mutex, clock, deadline);
  }
  return g_scheduler->WaitFor(condition, mutex, g_scheduler->FromClock(clock, *deadline))
             ? ETIMEDOUT
             : 0;
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           const timespec* deadline) {
  if (g_scheduler == nullptr) {
    static const auto real =
        Real(&pthread_cond_timedwait, "pthread_cond_timedwait", kConditionVersion);
    return real(condition, mutex, deadline);
  }
  return g_scheduler->WaitFor(condition, mutex, g_scheduler->FromClock(CLOCK_REALTIME, *deadline))
             ? ETIMEDOUT
             : 0;
}

int pthread_cond_signal(pthread_cond_t* condition) noexcept {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_cond_signal, "pthread_cond_signal", kConditionVersion);
    return real(condition);
  }
  g_scheduler->Wake(condition, 1);
  g_scheduler->MaySwitch();
  return 0;
}

int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  if (g_scheduler == nullptr) {
    static const auto real =
        Real(&pthread_cond_broadcast, "pthread_cond_broadcast", kConditionVersion);
    return real(condition);
  }
  g_scheduler->Wake(condition, INT32_MAX);
  g_scheduler->MaySwitch();
  return 0;
}

int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_rwlock_rdlock, "pthread_rwlock_rdlock");
    return real(lock);
  }
  g_scheduler->LockReaderWriter(lock, false);
  return 0;
}

int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_rwlock_wrlock, "pthread_rwlock_wrlock");
    return real(lock);
  }
  g_scheduler->LockReaderWriter(lock, true);
  return 0;
}

int pthread_rwlock_unlock(pthread_rwlock_t* lock) noexcept {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&pthread_rwlock_unlock, "pthread_rwlock_unlock");
    return real(lock);
  }
  g_scheduler->UnlockReaderWriter(lock);
  return 0;
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (g_scheduler == nullptr) {
    static int (*real)(clockid_t, timespec*) = nullptr;
    if (real == nullptr) real = Real<int(clockid_t, timespec*)>(nullptr, "clock_gettime");
    return real(clock, time);
  }
  *time = parley::ToTimespec(g_scheduler->Read(clock));
  return 0;
}

int gettimeofday(timeval* time, void* zone) noexcept {
  if (g_scheduler == nullptr) {
    static int (*real)(timeval*, void*) = nullptr;
    if (real == nullptr) real = Real<int(timeval*, void*)>(nullptr, "gettimeofday");
    return real(time, zone);
  }
  const timespec now = parley::ToTimespec(g_scheduler->Read(CLOCK_REALTIME));
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

int nanosleep(const timespec* duration, timespec* left) {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&nanosleep, "nanosleep");
    return real(duration, left);
  }
  g_scheduler->WaitUntil(nullptr,
                         g_scheduler->now() + duration->tv_sec * 1000000000 + duration->tv_nsec);
  return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* left) {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&clock_nanosleep, "clock_nanosleep");
    return real(clock, flags, time, left);
  }
  if ((flags & TIMER_ABSTIME) == 0) return nanosleep(time, left);
  g_scheduler->WaitUntil(nullptr, g_scheduler->FromClock(clock, *time));
  return 0;
}

int sched_yield() noexcept {
  if (g_scheduler == nullptr) {
    static const auto real = Real(&sched_yield, "sched_yield");
    return real();
  }
  g_scheduler->Yield();
  return 0;
}

long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  if (g_scheduler != nullptr && number == SYS_futex) {
    return parley::Futex(g_scheduler, reinterpret_cast<int*>(arguments[0]),
                         static_cast<int>(arguments[1]), static_cast<int>(arguments[2]),
                         reinterpret_cast<const timespec*>(arguments[3]));
  }
  register long r10 asm("r10") = arguments[3];
  register long r8 asm("r8") = arguments[4];
  register long r9 asm("r9") = arguments[5];
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]), "r"(r10),
                 "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

}  // extern "C"

std::random_device::result_type std::random_device::_M_getval() {
  if (g_scheduler != nullptr) {
    return static_cast<result_type>(g_scheduler->random().Next());
  }
  static const auto real =
      Real<result_type(std::random_device*)>(nullptr, "_ZNSt13random_device9_M_getvalEv");
  return real(this);
}

#endif  // no sanitizer takes them
