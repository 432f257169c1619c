#ifndef PARLEY_NET_GRPC_ANSWERS_H_
#define PARLEY_NET_GRPC_ANSWERS_H_

#include <grpcpp/completion_queue.h>

#include <memory>

#include "net/attendance.h"

namespace parley {

// Takes the answers to calls of several gRPC channels out of a completion queue, on one thread: its
// own, or one that waits for such answers anyway (Attend). More than one would be in each other's
// way: of the threads that wait in gRPC one polls, and wakes another to take its place before it
// works on what has come.
//
// Thread safety: safe from any thread.
class GrpcAnswers {
 public:
  // What comes out of the queue: a call that is over.
  class Taker {
   public:
    virtual ~Taker() = default;
    virtual void Over() = 0;
  };

  // One of the process's few, in turn. It ends with its last holder, who must not be a call.
  static std::shared_ptr<GrpcAnswers> Next();

  GrpcAnswers();
  // Nobody may attend, and no call be under way.
  ~GrpcAnswers();
  GrpcAnswers(const GrpcAnswers&) = delete;
  GrpcAnswers& operator=(const GrpcAnswers&) = delete;

  // Where calls go, with a Taker* as their tag; before it goes, each is announced.
  grpc::CompletionQueue* queue();
  void Expect();

  // See ParameterServer::Attend. Null while another thread attends.
  static std::unique_ptr<Attendance> Attend(std::shared_ptr<GrpcAnswers> answers);

 private:
  class Attending;
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace parley

#endif  // PARLEY_NET_GRPC_ANSWERS_H_
