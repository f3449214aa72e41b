// Threads that go through a computation together, and threads that share engines.
#include <atomic>
#include <stdexcept>
#include <thread>

#include "models.h"
#include "team.h"

namespace throughtime::testing {
namespace {

void check_team(int threads, std::size_t n) {
  std::vector<std::size_t> squares(n), sums(n);
  run_team(threads, [&](const Member& member) {
    for (std::size_t k = member.begin(n); k < member.end(n); ++k) squares[k] = k * k;
    member.barrier();
    // The other end's part, which another member has written.
    for (std::size_t k = member.begin(n); k < member.end(n); ++k) sums[k] = squares[n - 1 - k] + 1;
    member.barrier();
  });
  for (std::size_t k = 0; k < n; ++k)
    check(sums[k] == (n - 1 - k) * (n - 1 - k) + 1, "a team's parts do not fit together");
}

// Streams in several threads, on one engine and on another at the same time, give what they give one by one.
void check_concurrency() {
  const Model model({.name = "lstm"}, 23, 5, 33, 2),
      second({.name = "gru", .kind = CellKind::kGru}, 11, 0, 20, 1);
  Engine engine(model.tensors, Precision::kFloat32, 3, kernels()),
      other(second.tensors, Precision::kInt8, 2, kernels());
  constexpr int kRounds = 10, kThreads = 4;
  std::vector<Tokens> texts;
  std::vector<Stream> expected;
  for (int k = 0; k < kThreads; ++k) {
    texts.push_back(random_tokens(9, 11));
    expected.push_back(run_stream(k % 2 ? other : engine, texts.back()));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < kThreads; ++k)
    threads.emplace_back([&, k] {
      for (int round = 0; round < kRounds; ++round)
        if (!(run_stream(k % 2 ? other : engine, texts[k]) == expected[k])) ++wrong;
    });
  for (std::thread& thread : threads) thread.join();
  check(wrong == 0, "streams in several threads disturb each other");
}

// A slot that is closed by one thread while another steps it: the steps end in an error, never in its memory.
// The same place is opened again and again meanwhile, under other numbers.
void check_close_while_stepping() {
  const Model model({.name = "lstm"}, 23, 5, 33, 2);
  Engine engine(model.tensors, Precision::kFloat32, 3, kernels());
  const Tokens slots = engine.open(1);
  const Tokens text = random_tokens(40, 23);
  std::atomic<int> steps{0};
  std::thread stepping([&] {
    try {
      for (;; ++steps) engine.read(slots, text.data(), text.size(), false, nullptr);
    } catch (const std::invalid_argument&) {
    }
  });
  while (steps < 3) std::this_thread::yield();
  engine.close(slots);
  for (int round = 0; round < 20; ++round) engine.close(engine.open(1));
  stepping.join();
}

}  // namespace

void test_team() {
  for (int round = 0; round < 600; ++round) check_team(round % 5 - 1, static_cast<std::size_t>(round % 7));
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([] {
      for (int round = 0; round < 200; ++round) check_team(1 + round % 3, 13);
    });
  for (std::thread& caller : callers) caller.join();
  check_team(7, 100);  // more than were asked for before
  check_team(2, 100);
  check_concurrency();
  check_close_while_stepping();
}

}  // namespace throughtime::testing
