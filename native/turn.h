// Calls that come one after the other, and that whoever made them can give up.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace throughtime {

// Asked about 20 times a second by the thread that made a call, while the call waits or computes: whether it
// gives the call up. Without one, the call goes on to its end.
using GivesUp = std::function<bool()>;

// How often it is asked: a person who presses Ctrl-C should not notice the wait, and asking takes Python's
// lock, for which other threads may let us wait as long as 5 ms.
inline constexpr std::chrono::milliseconds kBetweenQuestions{50};

// Thrown by a call that was given up. It has changed nothing.
class GivenUp : public std::exception {
 public:
  const char* what() const noexcept override { return "the call was given up"; }
};

// Asks when it is time to. Between questions it only looks at the clock, and not at every step: a look can
// cost 0.3 us on a virtual machine, 3 % of a step of a small model.
class Question {
 public:
  explicit Question(const GivesUp& gives_up) : gives_up_(gives_up) {
    if (gives_up_) looked_ = asked_ = std::chrono::steady_clock::now();
  }
  bool answer() {
    if (!gives_up_ || --left_ > 0) return false;
    const auto now = std::chrono::steady_clock::now();
    if (now - looked_ < kBetweenLooks) {
      if (steps_ < kMostSteps) steps_ *= 2;
    } else if (now - looked_ > 4 * kBetweenLooks) {
      steps_ = 1;
    }
    left_ = steps_;
    looked_ = now;
    if (now - asked_ < kBetweenQuestions) return false;
    asked_ = now;
    return gives_up_();
  }

 private:
  static constexpr std::chrono::milliseconds kBetweenLooks{1};
  static constexpr int kMostSteps = 1 << 20;

  const GivesUp& gives_up_;
  std::chrono::steady_clock::time_point looked_, asked_;
  int steps_ = 1, left_ = 1;  // from look to look, and until the next
};

// What takes one call at a time.
class Turns {
 private:
  friend class Turn;
  std::timed_mutex mutex_;
  std::atomic<std::thread::id> owner_{};
};

// A call's turn, from its construction to its destruction.
//
// Throws GivenUp where the caller did not want to wait any longer, and std::runtime_error where the thread
// has a turn already: a signal's handler, which runs while a call asks, would wait for itself.
class Turn {
 public:
  Turn(Turns& turns, const GivesUp& gives_up) : turns_(turns) {
    const std::thread::id self = std::this_thread::get_id();
    if (turns_.owner_.load(std::memory_order_relaxed) == self)
      throw std::runtime_error("a signal's handler cannot use the engine while it interrupts a call of it");
    if (!turns_.mutex_.try_lock()) {
      if (!gives_up)
        turns_.mutex_.lock();
      else
        while (!turns_.mutex_.try_lock_for(kBetweenQuestions))
          if (gives_up()) throw GivenUp();
    }
    turns_.owner_.store(self, std::memory_order_relaxed);
  }
  ~Turn() {
    turns_.owner_.store({}, std::memory_order_relaxed);
    turns_.mutex_.unlock();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Turns& turns_;
};

}  // namespace throughtime
