// A few threads that go through a computation together.
//
// Every member runs the same function and takes its share of each part; a barrier parts what must not
// overlap. Threads stay alive between calls and wait for the next one, at first awake, because waking up
// takes as long as a small step.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

namespace throughtime {

class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait();
  // How many there are after all; each member says so before it waits.
  void expect(int members) { members_.store(members, std::memory_order_relaxed); }

 private:
  std::atomic<int> members_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> round_{0};
};

struct Member {
  int index;
  int count;
  Barrier* shared;

  void barrier() const {
    if (count > 1) shared->wait();
  }
  // This member's part of n things: [begin, end).
  std::size_t begin(std::size_t n) const { return n * index / count; }
  std::size_t end(std::size_t n) const { return n * (index + 1) / count; }
};

// Which of n slots' inputs a member makes ready for a product, and where it puts them.
//
// Many are shared, and a barrier has to follow. Few are made ready by every member for itself, at a place of
// its own: that takes less time than waiting for the others.
struct Readying {
  Readying(const Member& member, std::size_t n)
      : apart(n < kFew && member.count > 1),
        begin(apart ? 0 : member.begin(n)),
        end(apart ? n : member.end(n)),
        place(apart ? n * static_cast<std::size_t>(member.index) : 0) {}

  // How many places n slots or fewer take.
  static std::size_t places(std::size_t n, int members) {
    const std::size_t few = n < kFew ? n : kFew - 1;
    const std::size_t apart = few * static_cast<std::size_t>(members);
    return apart > n ? apart : n;
  }

  static constexpr std::size_t kFew = 4;
  bool apart;
  std::size_t begin, end, place;
};

inline constexpr int kMostThreads = 256;

// Runs body on `threads` threads, the caller's among them. Where another call has the threads at the moment,
// or the process has been forked since they began, the caller runs it alone; where the system gives no more
// threads, fewer run it: results do not depend on how many do. body must not throw: with
// more than one, the process would end, as others would wait at a barrier for the member that has left.
void run_team(int threads, const std::function<void(const Member&)>& body);

// The same on OpenMP's threads where the process has them, that is, where PyTorch is in it. For what runs
// between PyTorch's operations: its threads stay awake for milliseconds after each, and with as many threads
// of our own beside them, members of a team would wait for each other's turn on the cores (measured with two
// of each on two cores: a pass over a layer-norm LSTM, 20 ms on PyTorch's own threads, took 36 ms).
void run_team_beside_torch(int threads, const std::function<void(const Member&)>& body);

// How many threads can run at once here.
int hardware_threads();

}  // namespace throughtime
