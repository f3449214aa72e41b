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
  engine.generate({}, 3, {}, 1, nullptr, nullptr, nullptr);
  engine.generate(slots, 0, {}, 1, nullptr, nullptr, nullptr);
  engine.read(slots, text.data(), kSteps, true, nullptr);
  // Copies go on alike.
  const Tokens copies = engine.fork({slots[0], slots[0]});
  Tokens drawn(2 * 5);
  std::vector<std::uint8_t> seen(2 * width);
  std::vector<Pcg64> generators(2);
  engine.generate(copies, 5, {}, 1.3, generators.data(), seen.data(), drawn.data());
  for (std::size_t k = 0; k < 5; ++k) check(drawn[k] == drawn[5 + k], what + ": a copy goes another way");
  check(generators[0].words() == generators[1].words() && generators[0].words() != Pcg64().words(),
        what + ": generators that move on");
  // One row that cannot be drawn from fails its call, whichever thread meets it, and no other.
  engine.set_logits({slots[5]}, Floats(width, kNaN).data());
  Tokens many(kSlots * 3);
  Floats before(kSlots * engine.state_size()), after(before);
  engine.get_states(slots, before.data());
  generators = some_generators(kSlots);
  const auto generate = [&](const SamplingOptions& sampling) {
    engine.generate(slots, 3, sampling, 1, generators.data(), nullptr, many.data());
  };
  check_throws<std::invalid_argument>([&] { generate({}); }, what + ": NaN");
  engine.get_states(slots, after.data());
  check(before == after, what + ": a call that failed has left traces");
  for (std::size_t k = 0; k < kSlots; ++k)
    check(generators[k].words() == some_generators(kSlots)[k].words(), what + ": a generator has moved on");
  engine.set_logits({slots[5]}, Floats(width, 0.0f).data());
  generate({});
  const std::function<void()> refused[] = {
      [&] { generate({.top_p = 0}); },
      [&] { engine.set_draws({slots[0]}, {{.sampling = {.min_p = 2}}}); },
      [&] { engine.set_draws({slots[0]}, {{.repetition_penalty = 0}}); },
      [&] { engine.set_draws({slots[0]}, {{.stop = {V}}}); },
      [&] { engine.set_draws({slots[0]}, {{.stop = Tokens(kMostStops + 1, 0)}}); },
      [&] { engine.set_draws({slots[0], slots[0]}, std::vector<Draws>(2)); },
      [&] { engine.copy({slots[0]}, {slots[0]}, true); },
      [&] { engine.copy({slots[0], slots[1]}, {slots[2], slots[2]}, true); },
      [&] { engine.copy({slots[0], slots[1]}, {slots[2], slots[0]}, true); },
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

// All that a slot holds.
struct Held {
  Floats state, logits;
  Pcg64::Words generator;
  std::vector<std::uint8_t> seen;
  std::int64_t position;
  bool operator==(const Held&) const = default;
};

Held held(Engine& engine, std::int64_t slot) {
  const auto V = static_cast<std::size_t>(engine.vocabulary_size());
  Held all{Floats(engine.state_size()), Floats(V), engine.get_draws({slot})[0].generator.words(),
           std::vector<std::uint8_t>(V), 0};
  engine.get_states({slot}, all.state.data());
  engine.get_logits({slot}, all.logits.data());
  engine.get_seen({slot}, all.seen.data());
  engine.get_positions({slot}, &all.position);
  return all;
}

// Slots with options of their own that read texts of their own and draw as they please: together they come
// to what each comes to alone, whatever the cut into calls.
void check_strangers(const Options& options, Precision precision, int threads) {
  const std::string what = std::string("strangers ") + options.name + " " + std::to_string(threads);
  constexpr int V = 19;
  constexpr std::size_t kSlots = 9;
  const Model model(options, V, 7, 17, 2);
  Engine engine(model.tensors, precision, threads, kernels());
  const std::unique_ptr<Engine> other = engine.share();
  const Tokens slots = engine.open(kSlots), alone = other->open(kSlots);
  const std::vector<std::size_t> lengths = {3, 0, 41, 1, 3, 12, 2, 70, 5},
                                 limits = {4, 30, 0, 17, 1, 5, 30, 9, 2};
  std::vector<Draws> draws;
  for (std::size_t k = 0; k < kSlots; ++k)
    draws.push_back({.sampling = {.temperature = k == 4 ? 0.0 : 0.5 + 0.1 * static_cast<double>(k),
                                  .top_k = static_cast<std::int64_t>(k % 3 * 5),
                                  .top_p = k % 2 ? 0.9 : 1.0},
                     .repetition_penalty = k % 4 == 1 ? 1.4 : 1.0,
                     .generator = some_generators(kSlots)[k],
                     .stop = k % 3 ? Tokens{2, 7} : Tokens{}});
  engine.set_draws(slots, draws);
  other->set_draws(alone, draws);
  std::size_t total = 0;
  for (const std::size_t length : lengths) total += length;
  const Tokens text = random_tokens(total, V);
  Floats last(kSlots * V), all(total * V), one(V), each(70 * V);
  const Tokens twins = engine.open(kSlots);
  engine.read(twins, text.data(), lengths, true, all.data());
  engine.read(slots, text.data(), lengths, false, last.data());
  std::size_t begin = 0;
  for (std::size_t k = 0; k < kSlots; ++k) {
    std::fill(one.begin(), one.end(), 0.0f);
    if (lengths[k] > 0) other->read({alone[k]}, text.data() + begin, lengths[k], false, one.data());
    check(std::equal(one.begin(), one.end(), last.data() + k * V), what + ": logits of a ragged text");
    if (lengths[k] > 0) {
      other->read(other->open(1), text.data() + begin, lengths[k], true, each.data());
      check(std::equal(each.data(), each.data() + lengths[k] * V, all.data() + begin * V),
            what + ": all logits of a ragged text");
    }
    check(held(engine, slots[k]) == held(*other, alone[k]), what + ": a ragged text leaves another slot");
    begin += lengths[k];
  }
  // One that cannot be drawn from; slot 2 draws nothing.
  engine.set_logits({slots[5]}, Floats(V, kNaN).data());
  const Held before = held(engine, slots[0]);
  Tokens tokens(kSlots * 30), counts(kSlots), single(30);
  std::vector<Ended> ended(kSlots);
  check_throws<std::invalid_argument>(
      [&] { engine.advance(slots, limits, 30, true, tokens.data(), counts.data(), ended.data()); },
      what + ": NaN");
  check(held(engine, slots[0]) == before, what + ": a call that failed has left traces");
  engine.advance(slots, limits, 30, false, tokens.data(), counts.data(), ended.data());
  for (std::size_t k = 0; k < kSlots; ++k) {
    const Tokens mine(tokens.begin() + static_cast<std::ptrdiff_t>(k * 30),
                      tokens.begin() + static_cast<std::ptrdiff_t>(k * 30 + 30));
    if (k == 5) {
      check(ended[k] == Ended::kFailed && counts[k] == 0 && mine == Tokens(30, -1), what + ": a failed row");
      continue;
    }
    // Alone, a token a call.
    Tokens expected(30, -1);
    std::size_t count = 0;
    Ended why = Ended::kLimit;
    while (count < limits[k] && why == Ended::kLimit) {
      std::int64_t drawn = 0;
      other->advance({alone[k]}, {1}, 1, true, expected.data() + count, &drawn, &why);
      count += static_cast<std::size_t>(drawn);
    }
    check(mine == expected && counts[k] == static_cast<std::int64_t>(count) && ended[k] == why,
          what + ": a row draws otherwise among others");
    check(held(engine, slots[k]) == held(*other, alone[k]), what + ": a row leaves another slot");
  }
  // Back to before, and forward again to the same.
  const Tokens saved = engine.fork({slots[0], slots[1]});
  engine.read({slots[0], slots[1]}, text.data(), 1, false, nullptr);
  const Held there = held(engine, slots[1]);
  engine.copy(saved, {slots[0], slots[1]}, false);
  check(held(engine, slots[1]).logits == there.logits, what + ": a copy without logits");
  engine.recompute_logits({slots[0], slots[1]});
  check(held(engine, slots[1]) == held(engine, saved[1]), what + ": recomputed logits");
  engine.copy({saved[0], saved[0]}, {slots[3], slots[4]}, true);
  check(held(engine, slots[4]) == held(engine, saved[0]), what + ": a copy");
  bool follow[2];
  engine.set_states({slots[0]}, there.state.data());
  engine.get_logits_follow({slots[0], slots[1]}, follow);
  check(!follow[0] && follow[1], what + ": logits that follow");
}

void check_generator() {
  // numpy.random.Generator(numpy.random.PCG64(numpy.random.SeedSequence(0, spawn_key=(0,)))).random(4)
  Pcg64 generator;
  for (const double expected :
       {0x1.e2c8b5ff9abeep-1, 0x1.43ede2f0059d4p-2, 0x1.71d6e34584992p-1, 0x1.013c30c1ae4f0p-3})
    check(generator.uniform() == expected, "NumPy draws otherwise");
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
  Tokens drawn(2 * kSteps);
  std::vector<std::uint8_t> seen(2 * 23), seen_after(seen);
  std::vector<Pcg64> generators(2);
  int asked = 0;
  const GivesUp third_time = [&] { return ++asked == 3; };
  check_throws<GivenUp>(
      [&] {
        engine.generate(slots, kSteps, {}, 1.3, generators.data(), seen.data(), drawn.data(), third_time);
      },
      "a call that was given up while it drew");
  check(asked == 3 && generators[1].words() == Pcg64().words() && seen == seen_after, "it has left traces");
  engine.set_draws(slots, {{.repetition_penalty = 1.3}, {}});
  Tokens counts(2);
  Ended ended[2];
  asked = 0;
  check_throws<GivenUp>(
      [&] {
        engine.advance(slots, {kSteps, kSteps / 2}, kSteps, false, drawn.data(), counts.data(), ended,
                       third_time);
      },
      "a call that was given up while it drew for each slot");
  engine.get_seen(slots, seen_after.data());
  check(seen == seen_after && engine.get_draws(slots)[0].generator.words() == Pcg64().words(),
        "it has left traces in the slots");
  asked = 0;
  check_throws<GivenUp>([&] { engine.read(slots, text.data(), kSteps, false, nullptr, third_time); },
                        "a call that was given up while it read");
  engine.get_states(slots, after.data());
  engine.get_logits(slots, logits_after.data());
  Tokens positions(2);
  engine.get_positions(slots, positions.data());
  check(positions == Tokens(2, 9), "a call that was given up counts");
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
        engine.generate(slots, kSteps, {}, 1, generators.data(), nullptr, drawn.data(), [&] {
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
  check_generator();
  for (const int threads : {1, 3}) check_giving_up(threads);
  for (const Options& options : kCells)
    for (const int threads : {1, 3}) check_strangers(options, kPrecisions[threads - 1], threads);
  check_strangers(kCells[5], Precision::kBfloat16, 2);
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
