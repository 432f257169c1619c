// What a Standby does with the messages of a shard that come twice, in another order, or late.

#include "ps/standby.h"

#include <algorithm>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "ps/testing/one_shard.h"
#include "ps/testing/table_job.h"
#include "ps/testing/wire.h"

namespace parley {
namespace {

// One record of a shard, as it was sent.
struct Message {
  v1::ReplicateRequest request;
  Payload payload;
};

// The way to a standby, which keeps what was sent.
class RecordingWire final : public ForwardingParameterServer {
 public:
  RecordingWire() : ForwardingParameterServer(nullptr), standby_(NewStandby()) {}

  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    {
      MutexLock lock(&mutex_);
      PayloadReader reader(payload);
      for (int i = 0; i < request.records_size(); ++i) {
        Message message;
        message.request = request;
        message.request.clear_records();
        message.request.clear_payload_bytes();
        message.request.set_first(request.first() + static_cast<uint64_t>(i));
        *message.request.add_records() = request.records(i);
        message.request.add_payload_bytes(request.payload_bytes(i));
        message.payload = reader.Take(request.payload_bytes(i));
        messages_.push_back(std::move(message));
      }
    }
    standby_->Replicate(std::move(request), std::move(payload), std::move(done));
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    standby_->FetchReplica(std::move(request), std::move(done));
  }

  std::vector<Message> messages() {
    MutexLock lock(&mutex_);
    return messages_;
  }

 private:
  const std::shared_ptr<Standby> standby_;
  Mutex mutex_;
  std::vector<Message> messages_ ABSL_GUARDED_BY(mutex_);
};

class StandbyTest : public ::testing::Test {
 protected:
  // The messages of a shard whose worker has pushed twice.
  void SetUp() override {
    const auto wire = std::make_shared<RecordingWire>();
    OneShard shard(OneShardSpec(1, /*synchronous=*/false));
    ShardOptions options;
    options.standby = wire;
    options.standby_patience = absl::Minutes(1);
    shard.StartWith(std::move(options));
    ASSERT_TRUE(shard.Declare().ok());
    ASSERT_TRUE(shard.Join(0).ok());
    ASSERT_TRUE(shard.Push(0, 0, 1, 0.5f).ok());
    ASSERT_TRUE(shard.Push(0, 1, 2, 0.25f).ok());
    values_ = shard.Pull(2);
    messages_ = wire->messages();
    ASSERT_TRUE(messages_[0].request.records(0).has_begin());
    term_ = messages_[0].request.term();
  }

  absl::StatusOr<v1::ReplicateResponse> Send(const Message& message) {
    return Begin<v1::ReplicateResponse>([&](auto done) {
             standby_->Replicate(message.request, message.payload, std::move(done));
           })
        .get();
  }
  // The message of the first record of which `is` is true.
  template <typename Is>
  Message Find(Is is) {
    for (const Message& message : messages_) {
      if (is(message.request.records(0))) return message;
    }
    ADD_FAILURE() << "no such record";
    return messages_[0];
  }
  // The values of the copy that is there.
  std::vector<float> Values() {
    absl::optional<ShardCopy> copy = standby_->Release(0, term_);
    EXPECT_TRUE(copy.has_value());
    std::vector<float> values;
    for (size_t i = 0; copy.has_value() && i < copy->blocks.size(); ++i) {
      const BlockSnapshot snapshot = copy->blocks[i]->Snapshot();
      values.insert(values.end(), snapshot.values.get(), snapshot.values.get() + snapshot.size);
    }
    return values;
  }

  const std::shared_ptr<Standby> standby_ = NewStandby();
  std::vector<Message> messages_;
  std::vector<float> values_;
  uint64_t term_ = 0;
};

TEST_F(StandbyTest, ARecordThatComesAgainIsTakenOnceAndTheCopyStays) {
  for (const Message& message : messages_) {
    for (int times = 0; times < 2; ++times) {
      const auto answer = Send(message);
      ASSERT_TRUE(answer.ok()) << answer.status();
    }
  }
  EXPECT_EQ(Values(), values_);
}

TEST_F(StandbyTest, ACopyIsWholeWithItsLastBlock) {
  int blocks = 0;
  for (const Message& message : messages_) {
    if (message.request.records(0).has_block_state()) ++blocks;
    const auto answer = Send(message);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->complete(), blocks == kBlocks);
  }
  EXPECT_EQ(blocks, kBlocks);
}

TEST_F(StandbyTest, ACopyIsWholeWithItsLastRows) {
  const auto wire = std::make_shared<RecordingWire>();
  TableJob job(TableJobSpec(/*synchronous=*/false));
  ShardOptions options;
  options.standby = wire;
  options.standby_patience = absl::Minutes(1);
  job.StartWith(std::move(options));
  job.Declare();  // which is kept when the copy is whole: rounds come after all states
  ASSERT_TRUE(job.PushSome(0, 1).ok());
  std::vector<Message> messages = wire->messages();
  const auto place = [](const Message& message) {
    const v1::LogRecord& record = message.request.records(0);
    return record.has_round() ? 3 : record.has_table_state() ? 2 : record.has_block_state() ? 1 : 0;
  };
  std::stable_sort(messages.begin(), messages.end(), [&](const Message& one, const Message& other) {
    return place(one) < place(other);
  });
  for (size_t i = 0; i < messages.size(); ++i) messages[i].request.set_first(i);
  int blocks = 0;
  std::set<uint32_t> virtual_shards;
  for (const Message& message : messages) {
    const v1::LogRecord& record = message.request.records(0);
    if (record.has_block_state()) ++blocks;
    for (const auto& piece : record.table_state().virtual_shards()) {
      virtual_shards.insert(piece.number());
    }
    const auto answer = Send(message);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->complete(), blocks == kBlocks && virtual_shards.size() == 8);
  }
  EXPECT_EQ(blocks, kBlocks);
  EXPECT_EQ(virtual_shards.size(), 8u);
}

TEST_F(StandbyTest, TheStateOfABlockOutOfItsTurnIsRefused) {
  ASSERT_TRUE(Send(messages_[0]).ok());
  Message round = Find([](const v1::LogRecord& record) { return record.has_round(); });
  const uint32_t block = round.request.records(0).round().block();
  Message state = Find([&](const v1::LogRecord& record) {
    return record.has_block_state() && record.block_state().block() == block;
  });
  // What a block was before its round, said after it.
  round.request.set_first(1);
  state.request.set_first(2);
  ASSERT_TRUE(Send(round).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Send(state).status()));
}

TEST_F(StandbyTest, NothingIsTakenWhileTheTaskIsAboutToTakeOver) {
  for (const Message& message : messages_) ASSERT_TRUE(Send(message).ok());
  Message more = Find([](const v1::LogRecord& record) { return record.has_member(); });
  more.request.set_first(messages_.size());
  EXPECT_FALSE(standby_->Freeze(0, term_ + 2));
  ASSERT_TRUE(standby_->Freeze(0, term_));
  EXPECT_TRUE(absl::IsUnavailable(Send(more).status()));
  standby_->Thaw(0);
  EXPECT_TRUE(Send(more).ok());
}

TEST_F(StandbyTest, WhoLedBeforeCanFillNoCopyAfterTheTakeover) {
  for (const Message& message : messages_) ASSERT_TRUE(Send(message).ok());
  EXPECT_TRUE(standby_->Release(0, term_ + 1).has_value());
  Message begin = messages_[0];
  begin.request.set_stream(begin.request.stream() + 1);
  EXPECT_TRUE(absl::IsAborted(Send(begin).status()));
  begin.request.set_term(term_ + 1);
  EXPECT_TRUE(Send(begin).ok());
}

// Who takes over from a task that has a copy of its own, of the same moment.
TEST_F(StandbyTest, ACopyThatBeginsAsTheOneThatIsThereIsAdopted) {
  for (const Message& message : messages_) ASSERT_TRUE(Send(message).ok());
  // What another copy of it says of itself.
  std::promise<absl::StatusOr<ParameterServer::FetchReplicaReply>> fetched;
  v1::FetchReplicaRequest fetch;
  standby_->FetchReplica(fetch, [&](auto reply) { fetched.set_value(std::move(reply)); });
  const auto copy = fetched.get_future().get();
  ASSERT_TRUE(copy.ok()) << copy.status();
  Message begin = messages_[0];
  begin.payload = Payload();
  *begin.request.mutable_records(0)->mutable_begin()->mutable_books() = copy->response.books();
  begin.request.set_stream(begin.request.stream() + 1);
  begin.request.set_term(term_ + 1);
  const auto unasked = Send(begin);
  ASSERT_TRUE(unasked.ok()) << unasked.status();
  EXPECT_FALSE(unasked->complete());
  begin.request.set_stream(begin.request.stream() + 1);
  begin.request.set_adopts(true);
  const auto adopted = Send(begin);
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_TRUE(adopted->complete());
  term_ += 1;
  EXPECT_EQ(Values(), values_);
}

TEST_F(StandbyTest, ACopyOfAnotherMomentIsNotAdopted) {
  for (const Message& message : messages_) ASSERT_TRUE(Send(message).ok());
  Message begin = messages_[0];  // with the books of before
  begin.request.set_stream(begin.request.stream() + 1);
  begin.request.set_term(term_ + 1);
  begin.request.set_adopts(true);
  const auto begun = Send(begin);
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_FALSE(begun->complete());
}

TEST_F(StandbyTest, ACopyThatIsNeededNoLongerIsDropped) {
  for (const Message& message : messages_) ASSERT_TRUE(Send(message).ok());
  EXPECT_FALSE(standby_->IsDone(absl::Hours(1)));
  Message end;
  end.request.set_shard(0);
  end.request.set_term(term_);
  end.request.set_stream(messages_[0].request.stream());
  end.request.set_ends(true);
  EXPECT_TRUE(Send(end).ok());
  EXPECT_FALSE(standby_->Freeze(0, term_));
  EXPECT_TRUE(standby_->IsDone(absl::Hours(1)));
}

}  // namespace
}  // namespace parley
