#ifndef PARLEY_WORKER_ASK_ALL_H_
#define PARLEY_WORKER_ASK_ALL_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "worker/session.h"

namespace parley {

template <typename Response>
using Answers = std::vector<absl::StatusOr<Response>>;  // by shard

// Runs call(shard, session, done) for every session at once, and waits for all: a session answers
// within its call's deadline and grace. Must not run on a thread that runs answers.
template <typename Response, typename Call>
Answers<Response> AskAll(const std::vector<std::shared_ptr<Session>>& sessions, Call call) {
  struct Gathered {
    Mutex mutex;
    CondVar all;
    size_t missing ABSL_GUARDED_BY(mutex);
    Answers<Response> answers ABSL_GUARDED_BY(mutex);
  };
  auto gathered = std::make_shared<Gathered>();
  {
    MutexLock lock(&gathered->mutex);
    gathered->missing = sessions.size();
    gathered->answers.resize(sessions.size());
  }
  for (size_t shard = 0; shard < sessions.size(); ++shard) {
    call(shard, *sessions[shard], [gathered, shard](absl::StatusOr<Response> answer) {
      MutexLock lock(&gathered->mutex);
      gathered->answers[shard] = std::move(answer);
      if (--gathered->missing == 0) gathered->all.NotifyAll();
    });
  }
  MutexLock lock(&gathered->mutex);
  while (gathered->missing > 0) gathered->all.Wait(&gathered->mutex);
  return std::move(gathered->answers);
}

// The first shard's error, with the names of the others that failed; OK when there is none.
template <typename Response>
absl::Status FirstError(const Answers<Response>& answers) {
  absl::Status first;
  std::string others;
  for (size_t shard = 0; shard < answers.size(); ++shard) {
    if (answers[shard].ok()) continue;
    if (first.ok()) {
      first = answers[shard].status();
    } else {
      absl::StrAppend(&others, others.empty() ? "; also failed: ps:" : ", ps:", shard);
    }
  }
  if (first.ok()) return first;
  return absl::Status(first.code(), absl::StrCat(first.message(), others));
}

}  // namespace parley

#endif  // PARLEY_WORKER_ASK_ALL_H_
