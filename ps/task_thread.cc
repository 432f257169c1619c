#include "ps/task_thread.h"

#include <utility>

namespace parley {
namespace {

// So that nobody helps for ever while others post.
constexpr int kMostHelped = 4;

}  // namespace

TaskThread::TaskThread() : thread_([this] { Run(); }) {}

TaskThread::~TaskThread() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void TaskThread::Post(Task task) {
  PostToHelp(std::move(task));
  changed_.NotifyOne();
}

void TaskThread::PostToHelp(Task task) {
  MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
}

void TaskThread::Help() {
  for (int i = 0; i < kMostHelped; ++i) {
    Task task;
    {
      MutexLock lock(&mutex_);
      if (running_ || tasks_.empty()) return;  // who runs one takes the next
      task = std::move(tasks_.front());
      tasks_.pop_front();
      running_ = true;
    }
    task();
    task = nullptr;
    MutexLock lock(&mutex_);
    running_ = false;
    if (!tasks_.empty() || stopping_) changed_.NotifyOne();
  }
}

void TaskThread::Run() {
  for (;;) {
    Task task;
    {
      MutexLock lock(&mutex_);
      while (running_ || (tasks_.empty() && !stopping_)) changed_.Wait(&mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      running_ = true;
    }
    task();
    task = nullptr;
    MutexLock lock(&mutex_);
    running_ = false;
  }
}

}  // namespace parley
