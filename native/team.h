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

 private:
  const int members_;
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

inline constexpr int kMostThreads = 256;

// Runs body on `threads` threads, the caller's among them. Where another call has the threads at the moment,
// or the process has been forked since they began, the caller runs it alone; where the system gives no more
// threads, fewer run it: results do not depend on how many do. body must not throw: with
// more than one, the process would end, as others would wait at a barrier for the member that has left.
void run_team(int threads, const std::function<void(const Member&)>& body);

// How many threads can run at once here.
int hardware_threads();

}  // namespace throughtime
