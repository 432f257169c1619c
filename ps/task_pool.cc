#include "ps/task_pool.h"

#include <pthread.h>

#include <utility>

namespace parley {
namespace {

// So that nobody helps for ever while others post.
constexpr int kMostHelped = 4;

}  // namespace

TaskPool::TaskPool(int threads) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

TaskPool::~TaskPool() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void TaskPool::Schedule(TaskQueue* queue) {
  {
    MutexLock lock(&mutex_);
    scheduled_.push_back(queue);
  }
  changed_.NotifyOne();
}

void TaskPool::Run() {
  pthread_setname_np(pthread_self(), "owner");  // as tools that list threads show it
  for (;;) {
    TaskQueue* queue;
    {
      MutexLock lock(&mutex_);
      while (scheduled_.empty() && !(stopping_ && running_ == 0)) changed_.Wait(&mutex_);
      if (scheduled_.empty()) return;
      queue = scheduled_.front();
      scheduled_.pop_front();
      ++running_;
    }
    queue->RunScheduled();
    MutexLock lock(&mutex_);
    if (--running_ == 0 && stopping_) changed_.NotifyAll();
  }
}

void TaskQueue::Post(Task task) {
  {
    MutexLock lock(&mutex_);
    tasks_.push_back(std::move(task));
    if (running_ || scheduled_) return;
    scheduled_ = true;
  }
  pool_->Schedule(this);
}

void TaskQueue::PostToHelp(Task task) {
  MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
}

void TaskQueue::Help() { RunSome(kMostHelped); }

void TaskQueue::RunScheduled() {
  {
    MutexLock lock(&mutex_);
    scheduled_ = false;
  }
  RunSome(1);  // in turn with other queues
}

void TaskQueue::RunSome(int most) {
  for (int i = 1; i <= most; ++i) {
    Task task;
    {
      MutexLock lock(&mutex_);
      if (running_ || tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      running_ = true;
    }
    task();
    task = nullptr;
    bool schedule;
    {
      MutexLock lock(&mutex_);
      running_ = false;
      schedule = i == most && !tasks_.empty() && !scheduled_;
      if (schedule) scheduled_ = true;
    }
    if (schedule) pool_->Schedule(this);
  }
}

}  // namespace parley
