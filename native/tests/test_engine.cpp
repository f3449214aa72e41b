// Slots, texts, drawing and wrong calls.
#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

#include "models.h"
#include "team.h"

namespace throughtime::testing {
namespace {

void check_engine(const Options& options, Precision precision, int V, int E, int H, int layers, int threads) {
  const std::string what =
      std::string("engine ") + options.name + " V " + std::to_string(V) + " E " + std::to_string(E);
  const Model model(options, V, E, H, layers);
  Engine engine(model.tensors, precision, threads, kernels());
  const auto width = static_cast<std::size_t>(V);
  constexpr std::size_t kSlots = 7, kSteps = 40;  // 40 steps are more than one piece
  const Tokens slots = engine.open(kSlots), same = engine.open(kSlots);
  const Tokens text = random_tokens(kSlots * kSteps, V);
  Floats at_once(kSlots * kSteps * width), one(kSlots * width), row(width), state(engine.state_size()),
      other(state);
  engine.read(slots, text.data(), kSteps, true, at_once.data());
  for (std::size_t t = 0; t < kSteps; ++t) {
    Tokens tokens(kSlots);
    for (std::size_t slot = 0; slot < kSlots; ++slot) tokens[slot] = text[slot * kSteps + t];
    engine.read(same, tokens.data(), 1, t % 2 == 0, one.data());
    for (std::size_t slot = 0; slot < kSlots; ++slot)
      check(std::equal(one.data() + slot * width, one.data() + (slot + 1) * width,
                       at_once.data() + (slot * kSteps + t) * width),
            what + ": a text at once differs from its steps");
  }
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    engine.get_states({slots[slot]}, state.data());
    engine.get_states({same[slot]}, other.data());
    check(state == other, what + ": the state of a text at once differs");
  }
  // Few slots and few steps: what every thread makes ready for itself.
  for (const std::size_t few : {1, 2, 3}) {
    for (const std::size_t steps : {1, 2, 3, 5, 33}) {
      const Tokens some = engine.open(few), others = engine.open(few);
      Floats all(few * steps * width), last(few * width);
      engine.read(some, text.data(), steps, true, all.data());
      for (std::size_t t = 0; t < steps; ++t) {
        Tokens tokens(few);
        for (std::size_t slot = 0; slot < few; ++slot) tokens[slot] = text[slot * steps + t];
        engine.read(others, tokens.data(), 1, false, last.data());
        for (std::size_t slot = 0; slot < few; ++slot)
          check(std::equal(last.data() + slot * width, last.data() + (slot + 1) * width,
                           all.data() + (slot * steps + t) * width),
                what + ": a few slots at once differ from their steps");
      }
      engine.close(some);
      engine.close(others);
    }
  }
  // Nothing to do, and nobody who wants the logits.
  engine.read({}, nullptr, 3, true, nullptr);
  engine.read(slots, nullptr, 0, true, nullptr);
  engine.generate({}, 3, nullptr, {}, nullptr, nullptr);
  engine.generate(slots, 0, nullptr, {}, nullptr, nullptr);
  engine.read(slots, text.data(), kSteps, true, nullptr);
  // Copies go on alike.
  const Tokens copies = engine.fork({slots[0], slots[0]});
  Tokens drawn(2 * 5);
  std::vector<std::uint8_t> seen(2 * width);
  GenerateOptions generate;
  generate.repetition_penalty = 1.3f;
  std::vector<double> equal_uniforms = some_uniforms(10);
  for (std::size_t k = 0; k < 10; k += 2) equal_uniforms[k + 1] = equal_uniforms[k];
  engine.generate(copies, 5, equal_uniforms.data(), generate, seen.data(), drawn.data());
  for (std::size_t k = 0; k < 10; k += 2) check(drawn[k] == drawn[k + 1], what + ": a copy goes another way");
  // One row that cannot be drawn from fails its call, whichever thread meets it, and no other.
  engine.set_logits({slots[5]}, Floats(width, kNaN).data());
  Tokens many(kSlots * 3);
  Floats before(kSlots * engine.state_size()), after(before);
  engine.get_states(slots, before.data());
  const std::vector<double> uniforms = some_uniforms(kSlots * 3);
  check_throws<std::invalid_argument>(
      [&] { engine.generate(slots, 3, uniforms.data(), {}, nullptr, many.data()); }, what + ": NaN");
  engine.get_states(slots, after.data());
  check(before == after && many == Tokens(kSlots * 3, -1), what + ": a call that failed has left traces");
  engine.set_logits({slots[5]}, Floats(width, 0.0f).data());
  engine.generate(slots, 3, uniforms.data(), {}, nullptr, many.data());
  GenerateOptions wrong;
  wrong.sampling.top_p = 0;
  const std::function<void()> refused[] = {
      [&] { engine.generate(slots, 3, uniforms.data(), wrong, nullptr, many.data()); },
      [&] { engine.read({slots[0], slots[0]}, text.data(), 1, false, nullptr); },
      [&] { engine.read({-1}, text.data(), 1, false, nullptr); },
      [&] { engine.read({99}, text.data(), 1, false, nullptr); },
      [&] {
        const std::int64_t beyond = V;
        engine.read({slots[0]}, &beyond, 1, false, nullptr);
      },
      [&] {
        const std::int64_t below = -1;
        engine.read({slots[0]}, &below, 1, false, nullptr);
      },
      [&] { engine.close({99}); },
      [&] { engine.close({slots[0], slots[0]}); },
      [&] { engine.close({slots[0], 99}); },
      [&] { engine.set_logits({slots[0], slots[0]}, at_once.data()); },
      [&] { engine.fork({slots[0], 99}); },
      [&] { engine.fork({-1}); },
      [&] {
        engine.close({slots[6]});
        engine.get_states({slots[6]}, state.data());
      },
      [&] { engine.close({slots[6]}); },
  };
  for (const auto& body : refused) check_throws<std::invalid_argument>(body, what + ": a wrong call");
  // Its place is used again, under another number; the old one stays closed.
  const Tokens again = engine.open(1);
  check(again[0] != slots[6] && again[0] % (std::int64_t{1} << 32) == slots[6],
        what + ": a closed slot's place is used again");
  check_throws<std::invalid_argument>([&] { engine.get_states({slots[6]}, state.data()); },
                                      what + ": a number out of date");
  check_throws<std::invalid_argument>([&] { engine.fork({slots[6]}); }, what + ": a fork of a closed slot");
  check(engine.open(1)[0] % (std::int64_t{1} << 32) > again[0] % (std::int64_t{1} << 32),
        what + ": a fork that failed holds a slot");
  engine.get_logits(again, row.data());
  check(row == Floats(width, 0.0f), what + ": a slot opened again is not new");
  engine.set_states(again, state.data());
  engine.get_states(again, other.data());
  check(state == other, what + ": a state put in place");
}

// Calls that whoever made them gives up: between steps, and while another one has its turn.
void check_giving_up(int threads) {
  const Model model({.name = "lstm"}, 23, 5, 33, 2);
  Engine engine(model.tensors, Precision::kFloat32, threads, kernels());
  const Tokens slots = engine.open(2), text = random_tokens(2 << 20, 23);
  engine.read(slots, text.data(), 9, false, nullptr);
  Floats before(2 * engine.state_size()), after(before), logits(2 * 23), logits_after(logits);
  engine.get_states(slots, before.data());
  engine.get_logits(slots, logits.data());
  constexpr std::size_t kSteps = 1 << 20;  // seconds
  const std::vector<double> uniforms = some_uniforms(2 * kSteps);
  Tokens drawn(2 * kSteps);
  std::vector<std::uint8_t> seen(2 * 23), seen_after(seen);
  GenerateOptions penalised;
  penalised.repetition_penalty = 1.3f;
  int asked = 0;
  const GivesUp third_time = [&] { return ++asked == 3; };
  check_throws<GivenUp>(
      [&] {
        engine.generate(slots, kSteps, uniforms.data(), penalised, seen.data(), drawn.data(), third_time);
      },
      "a call that was given up while it drew");
  check(asked == 3 && drawn == Tokens(2 * kSteps, -1) && seen == seen_after, "it has left traces");
  asked = 0;
  check_throws<GivenUp>([&] { engine.read(slots, text.data(), kSteps, false, nullptr, third_time); },
                        "a call that was given up while it read");
  engine.get_states(slots, after.data());
  engine.get_logits(slots, logits_after.data());
  check(before == after && logits == logits_after, "a call that was given up has changed a slot");
  // Both wait for a call that waits for them.
  std::atomic<bool> running{false};
  std::atomic<int> waiting{0};
  std::vector<std::thread> others;
  for (int other = 0; other < 2; ++other)
    others.emplace_back([&] {
      while (!running) std::this_thread::yield();
      int asked_here = 0;
      check_throws<GivenUp>(
          [&] {
            engine.open(1, [&] {
              if (++asked_here == 2) ++waiting;
              return asked_here == 2;
            });
          },
          "a call that was given up before its turn");
    });
  check_throws<GivenUp>(
      [&] {
        engine.generate(slots, kSteps, uniforms.data(), {}, nullptr, drawn.data(), [&] {
          running = true;
          // As from a signal's handler.
          check_throws<std::runtime_error>([&] { engine.open(1); }, "a call inside another one");
          return waiting == 2;
        });
      },
      "a call that others wait for");
  for (std::thread& other : others) other.join();
}

}  // namespace

void test_engine() {
  for (const int threads : {1, 3}) check_giving_up(threads);
  for (const Options& options : kCells) {
    check_engine(options, Precision::kFloat32, 19, 0, 17, 2, 1);
    check_engine(options, Precision::kInt8, 19, 90, 17, 2, 3);  // too large for a table of the tokens' shares
    check_engine(options, Precision::kBfloat16, 150, 40, 17, 1, 2);
    check_engine(options, Precision::kFloat32, 1, 1, 1, 1, 3);
  }
  // No number of threads: they are measured.
  const Model model({.name = "lstm"}, 19, 5, 17, 1);
  Engine measured(model.tensors, Precision::kFloat32, 0, kernels());
  check(run_stream(measured, {1, 2, 3}).drawn.size() == 12, "a measured engine");
  check(Engine(model.tensors, Precision::kFloat32, 1 << 30, kernels()).threads(1) == kMostThreads,
        "too many threads");
}

}  // namespace throughtime::testing
