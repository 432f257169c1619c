#ifndef PARLEY_NET_ATTENDANCE_H_
#define PARLEY_NET_ATTENDANCE_H_

namespace parley {

// The right, and the duty, to take a transport's answers instead of its own thread
// (ParameterServer::Attend): for who sends requests and then only waits for their answers, which
// so come without waking one thread more.
//
// Between its making and Wait nobody takes answers, those to others' requests included: this time
// is for sending, not for computing.
//
// Thread safety: belongs to the thread that asked for it; End is for any thread.
class Attendance {
 public:
  // The transport's own thread takes answers again.
  virtual ~Attendance() = default;

  // Takes answers, whose `done` runs here, until End was called. Once.
  virtual void Wait() = 0;
  // What was waited for is there. Exactly once, perhaps before Wait.
  virtual void End() = 0;
};

}  // namespace parley

#endif  // PARLEY_NET_ATTENDANCE_H_
