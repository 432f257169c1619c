#include "net/testing/etcd_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

namespace parley {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(60);

}  // namespace

EtcdProcess::EtcdProcess() { Start("0"); }

EtcdProcess::~EtcdProcess() { Kill(); }

void EtcdProcess::Start(const std::string& port) {
  const std::string clients = "http://127.0.0.1:" + port;
  std::vector<std::string> words = {"etcd",
                                    "--data-dir=" + folder_.File("data"),
                                    "--listen-client-urls=" + clients,
                                    "--advertise-client-urls=" + clients,
                                    "--listen-peer-urls=http://127.0.0.1:0",
                                    "--enable-grpc-gateway=false",
                                    "--logger=zap",
                                    "--log-outputs=stderr"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int output[2];
  ASSERT_EQ(pipe2(output, O_CLOEXEC), 0) << std::strerror(errno);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
    execvp(argv[0], argv.data());
    dprintf(STDERR_FILENO, "cannot run etcd: %s\n", std::strerror(errno));
    _exit(127);
  }
  close(output[1]);
  ASSERT_GT(pid_, 0) << std::strerror(errno);
  reader_ = std::thread([this, fd = output[0]] { Read(fd); });
  MutexLock lock(&mutex_);
  while (serving_.empty() && !ended_) {
    ASSERT_FALSE(changed_.WaitFor(&mutex_, kStartTimeout)) << "etcd does not serve:\n" << output_;
  }
  ASSERT_FALSE(serving_.empty()) << "etcd ended:\n" << output_;
  address_ = serving_;
}

void EtcdProcess::Read(int fd) {
  FILE* const lines = fdopen(fd, "r");
  char line[1 << 12];
  constexpr char kAddress[] = "\"address\":\"";
  while (fgets(line, sizeof(line), lines) != nullptr) {
    MutexLock lock(&mutex_);
    output_ += line;
    const char* const address = std::strstr(line, kAddress);
    if (std::strstr(line, "serving client traffic") == nullptr || address == nullptr) continue;
    const std::string rest = address + std::strlen(kAddress);
    serving_ = rest.substr(0, rest.find('"'));
    changed_.NotifyAll();
  }
  fclose(lines);
  MutexLock lock(&mutex_);
  ended_ = true;
  changed_.NotifyAll();
}

void EtcdProcess::Stop() {
  kill(pid_, SIGSTOP);
  int status;
  waitpid(pid_, &status, WUNTRACED);
}

void EtcdProcess::Continue() { kill(pid_, SIGCONT); }

void EtcdProcess::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
  reader_.join();
}

void EtcdProcess::Restart() {
  {
    MutexLock lock(&mutex_);
    serving_.clear();
    output_.clear();
    ended_ = false;
  }
  Start(address_.substr(address_.rfind(':') + 1));
}

}  // namespace parley
