#ifndef PARLEY_NET_TESTING_ETCD_PROCESS_H_
#define PARLEY_NET_TESTING_ETCD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/testing/temp_folder.h"

namespace parley {

// A real etcd of one member, on a free port of 127.0.0.1, with its data in a temporary folder. It
// dies with the test.
class EtcdProcess {
 public:
  // Returns when it serves; the test fails when it does not.
  EtcdProcess();
  ~EtcdProcess();
  EtcdProcess(const EtcdProcess&) = delete;
  EtcdProcess& operator=(const EtcdProcess&) = delete;

  // "127.0.0.1:port"
  const std::string& address() const { return address_; }

  // SIGSTOP, from which it does not answer, and SIGCONT.
  void Stop();
  void Continue();
  // SIGKILL, and waits for its end.
  void Kill();
  // After Kill: on the same port, with the same data.
  void Restart();

 private:
  void Start(const std::string& port);
  void Read(int fd);

  const TempFolder folder_;
  std::string address_;
  pid_t pid_ = -1;
  std::thread reader_;
  Mutex mutex_;
  CondVar changed_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::string serving_ ABSL_GUARDED_BY(mutex_);  // its address, when it has said so
  std::string output_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_ETCD_PROCESS_H_
