#include "team.h"

#include <algorithm>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace throughtime {
namespace {

// How long a worker waits awake for the next call: about 50 us, longer than what lies between two steps in a
// loop, shorter than anybody's patience with a busy core.
constexpr int kIdleSpins = 4000;

// How long a member waits awake for the others, a few us, before it lets somebody else have the core: on a
// busy machine that may be the very thread it waits for (measured: 800 us a step fell to what one thread
// takes).
constexpr int kSpins = 200;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Denormal numbers cost a hundred times as much as others, and a decaying state is full of them: they count
// as 0.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  // Other CPUs take them in their stride, or have no such switch.
  FlushDenormals() {}
#endif
};

// One round of waiting for another member; `spins` counts up to the limit and no further, however long it
// takes.
void wait_on(int& spins) {
  if (spins >= kSpins) return std::this_thread::yield();
  ++spins;
  pause();
}

// One member's share of a team's work. noexcept: what it would unwind, the barrier among it, is in use by the
// other members.
void run_member(const std::function<void(const Member&)>& body, const Member& member) noexcept {
  FlushDenormals flush;
  body(member);
}

int process() {
#if defined(__unix__) || defined(__APPLE__)
  return static_cast<int>(getpid());
#else
  return 0;
#endif
}

class Pool {
 public:
  explicit Pool(int workers) : wanted_(workers), process_(process()) {
    try {
      for (; workers_ < workers; ++workers_) {
        const int worker = workers_;
        std::thread([this, worker] { work(worker); }).detach();
      }
    } catch (const std::system_error&) {
      // The system gives no more: those that there are will do.
    }
  }

  bool alive() const { return process_ == process(); }
  int wanted() const { return wanted_; }
  int workers() const { return workers_; }

  void run(int members, const std::function<void(const Member&)>& body) {
    Barrier barrier(members);
    barrier_ = &barrier;
    body_ = &body;
    left_.store(members - 1, std::memory_order_relaxed);
    // The number of members travels in the same word as the call's: a worker that is no member of this call
    // may look at it late, and must not take the next one's number for this one's.
    call_.store(((call_.load(std::memory_order_relaxed) >> 8) + 1) << 8 | static_cast<unsigned>(members - 1),
                std::memory_order_release);
    call_.notify_all();
    run_member(body, {0, members, &barrier});
    for (int spins = 0; left_.load(std::memory_order_acquire) != 0;) wait_on(spins);
  }

 private:
  void work(int worker) noexcept {
    FlushDenormals flush;
    unsigned seen = 0;
    for (;;) {
      for (int spin = 0; spin < kIdleSpins && call_.load(std::memory_order_acquire) == seen; ++spin) pause();
      call_.wait(seen, std::memory_order_acquire);
      seen = call_.load(std::memory_order_acquire);
      const int members = static_cast<int>(seen & 255u) + 1;
      if (worker + 1 >= members) continue;
      (*body_)({worker + 1, members, barrier_});
      left_.fetch_sub(1, std::memory_order_release);
    }
  }

  const int wanted_;
  const int process_;
  int workers_ = 0;
  std::atomic<unsigned> call_{0};
  std::atomic<int> left_{0};
  Barrier* barrier_ = nullptr;
  const std::function<void(const Member&)>* body_ = nullptr;
};

// OpenMP as GCC calls it, which the runtimes of Clang and Intel offer, too, on Linux. Nothing is linked: what
// PyTorch has loaded is found by name.
struct OpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*thread)() = nullptr;
  int (*threads)() = nullptr;
  int process = 0;

  bool complete() const { return parallel != nullptr && thread != nullptr && threads != nullptr; }
};

template <class Function>
void find(const char* name, Function& function) {
#if defined(__unix__) || defined(__APPLE__)
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
#else
  function = nullptr;
#endif
}

// None where there is none, or where the process was forked from one whose OpenMP may have had threads: they
// are not in this one, and a call would wait for them.
const OpenMp* open_mp() {
  static std::mutex mutex;
  static OpenMp found;
  const std::lock_guard lock(mutex);
  if (!found.complete()) {
    find("GOMP_parallel", found.parallel);
    find("omp_get_thread_num", found.thread);
    find("omp_get_num_threads", found.threads);
    found.process = process();
  }
  return found.complete() && found.process == process() ? &found : nullptr;
}

struct Region {
  const OpenMp& open_mp;
  const std::function<void(const Member&)>& body;
  Barrier barrier;
};

// A member's share of a region. noexcept as run_member is.
void run_share(void* data) noexcept {
  auto& region = *static_cast<Region*>(data);
  const int members = region.open_mp.threads();
  region.barrier.expect(members);
  run_member(region.body, {region.open_mp.thread(), members, &region.barrier});
}

std::mutex pool_in_use;

// Never destroyed: its threads may outlive the objects of the program's end.
Pool* pool = nullptr;

}  // namespace

void Barrier::wait() {
  const unsigned round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_.load(std::memory_order_relaxed)) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    return;
  }
  for (int spins = 0; round_.load(std::memory_order_acquire) == round;) wait_on(spins);
}

int hardware_threads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

void run_team(int threads, const std::function<void(const Member&)>& body) {
  threads = std::clamp(threads, 1, kMostThreads);
  if (threads > 1) {
    std::unique_lock<std::mutex> lock(pool_in_use, std::try_to_lock);
    if (lock.owns_lock()) {
      if (pool == nullptr || (pool->alive() && pool->wanted() < threads - 1)) pool = new Pool(threads - 1);
      threads = std::min(threads, pool->workers() + 1);
      if (pool->alive() && threads > 1) {
        pool->run(threads, body);
        return;
      }
    }
  }
  FlushDenormals flush;
  body({0, 1, nullptr});
}

void run_team_beside_torch(int threads, const std::function<void(const Member&)>& body) {
  threads = std::clamp(threads, 1, kMostThreads);
  const OpenMp* found = threads > 1 ? open_mp() : nullptr;
  if (found == nullptr) return run_team(threads, body);
  Region region{*found, body, Barrier(threads)};
  found->parallel(run_share, &region, static_cast<unsigned>(threads), 0);
}

}  // namespace throughtime
