#include "engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "engine_batch.h"

namespace throughtime {
namespace {

// Sequences are read in pieces: the pre-activations of a piece, and its logits, should stay in the cache.
constexpr std::size_t kPiece = 32;

// A mark in `seen` that the call under way has set: it knows what to take back without a copy.
constexpr std::uint8_t kJustSeen = 2;

}  // namespace

// A slot that draws, for one call.
struct Engine::Row {
  Slot* slot;
  std::size_t number;  // in the caller's list
  const SamplingOptions* sampling;
  double penalty;
  Pcg64 generator;  // a copy, until the call has come to its end
  std::uint8_t* seen;
  const std::vector<std::int64_t>* stop;
  std::size_t limit;
  std::int64_t* tokens;
  std::size_t count = 0;
  Ended ended = Ended::kLimit;
  bool leaves = false;

  // Keeps the marks of this call, or takes them back.
  void settle(bool stays) {
    if (seen == nullptr) return;
    for (std::size_t k = 0; k < count; ++k)
      if (std::uint8_t& mark = seen[tokens[k]]; mark == kJustSeen) mark = stays ? 1 : 0;
  }
  // Leaves nothing behind of the call but the slot's state, which the engine puts back.
  void take_back() {
    settle(false);
    std::fill_n(tokens, count, -1);
    count = 0;
  }
};

Engine::Engine(std::shared_ptr<const LanguageModel> model, int threads_alone, int threads_many)
    : model_(std::move(model)), threads_alone_(threads_alone), threads_many_(threads_many) {
  for (const auto& layer : model_->layers) rooms_.push_back(layer->room());
}

Engine::Engine(const EngineTensors& tensors, Precision precision, int threads, const Kernels& kernels)
    : Engine(std::make_shared<LanguageModel>(tensors, precision, kernels), 1, 1) {
  if (threads > 0)
    threads_alone_ = threads_many_ = std::min(threads, kMostThreads);
  else
    measure_threads();
}

std::unique_ptr<Engine> Engine::share() const {
  return std::unique_ptr<Engine>(new Engine(model_, threads_alone_, threads_many_));
}

void Engine::check_tokens(const std::int64_t* tokens, std::size_t n) const {
  for (std::size_t k = 0; k < n; ++k)
    if (tokens[k] < 0 || tokens[k] >= vocabulary_size())
      throw std::invalid_argument("token " + std::to_string(tokens[k]) + " lies outside the vocabulary of " +
                                  std::to_string(vocabulary_size()) + " tokens");
}

// The longest text comes first: so the slots that still read are always the first of the batch.
void Engine::read(const Slots& slots, const std::int64_t* tokens, const std::vector<std::size_t>& lengths,
                  bool all, float* logits_out, const GivesUp& gives_up) {
  if (slots.empty()) return;
  if (logits_out == nullptr) all = false;
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> given = distinct(slots);
  const auto V = static_cast<std::size_t>(vocabulary_size());
  std::vector<std::size_t> begins(given.size() + 1), order;
  order.reserve(given.size());
  for (std::size_t k = 0; k < given.size(); ++k) {
    begins[k + 1] = begins[k] + lengths[k];
    if (lengths[k] > 0) order.push_back(k);
  }
  check_tokens(tokens, begins.back());
  const auto longer = [&](std::size_t one, std::size_t other) { return lengths[one] > lengths[other]; };
  if (!std::is_sorted(order.begin(), order.end(), longer))
    std::stable_sort(order.begin(), order.end(), longer);
  const std::size_t n = order.size(), longest = n > 0 ? lengths[order.front()] : 0;
  std::vector<Slot*> reading(n);
  std::vector<const std::int64_t*> texts(n);
  for (std::size_t row = 0; row < n; ++row) {
    reading[row] = given[order[row]];
    texts[row] = tokens + begins[order[row]];
  }
  const auto write_logits = [&](std::size_t slot, const float* from) {
    if (logits_out != nullptr && !all) std::copy_n(from, V, logits_out + slot * V);
  };
  for (std::size_t k = 0; k < given.size(); ++k)
    if (lengths[k] == 0) write_logits(k, given[k]->logits.data());
  if (n == 0) return;
  const std::size_t most = std::max(n, std::min(kPiece, n * longest));
  Batch batch = begin(reading, most);
  Slots at_once(longest == 1 ? n : 0);
  for (std::size_t row = 0; row < at_once.size(); ++row) at_once[row] = *texts[row];
  const std::size_t width = RecurrentLayer::padded(model_->layers.back()->output_size());
  std::vector<const float*> tops(all ? most : 0);
  std::vector<float*> outs(tops.size());
  // The first of the batch, for when the others are done.
  std::vector<std::size_t> still(lengths[order.back()] < longest ? n : 0);
  std::iota(still.begin(), still.end(), 0);
  const bool asks = gives_up && longest > std::max<std::size_t>(1, kPiece / n);
  if (asks) {
    keep(reading);
    reserve_spare(n);
    for (std::size_t row = 0; row < n; ++row) batch.logits[row] = spare_[row].data();
  }
  Question question(gives_up);
  std::atomic<bool> given_up{false};
  run_team(threads(n), [&](const Member& member) {
    std::size_t active = n, first = 0;
    while (active > 0) {
      if (asks) {
        // The next piece has barriers of its own, so that no member can ask again before all have seen the
        // answer.
        if (member.index == 0 && question.answer()) given_up.store(true);
        member.barrier();
        if (given_up.load()) return;
      }
      const std::size_t piece = std::max<std::size_t>(1, kPiece / active),
                        T = std::min(piece, lengths[order[active - 1]] - first);
      if (longest == 1) {
        ready(member, batch);
        member.barrier();
        step(member, batch, at_once.data());
      } else {
        read_piece(member, batch, texts.data(), first, T);
      }
      if (all && longest > 1) {
        const std::size_t rows = T * active;
        for (std::size_t row = member.begin(rows); row < member.end(rows); ++row) {
          tops[row] = tops_.data() + row * width;
          outs[row] = logits_out + (begins[order[row % active]] + first + row / active) * V;
        }
        // Where the rows are few, every member makes all of them ready.
        member.barrier();
        logits(member, rows, tops.data(), outs.data());
        member.barrier();
      }
      first += T;
      std::size_t left = active;
      while (left > 0 && lengths[order[left - 1]] == first) --left;
      if (left == active) continue;
      // The texts of the last have come to their end.
      const std::size_t done = active - left;
      const Readying mine(member, done);
      const float** last = batch.tops.data() + mine.place;
      if (longest > 1)
        for (std::size_t row = mine.begin; row < mine.end; ++row)
          last[row] = tops_.data() + ((T - 1) * active + left + row) * width;
      logits(member, done, last, batch.logits.data() + left);
      for (std::size_t row = member.begin(done); row < member.end(done); ++row) {
        write_logits(order[left + row], batch.logits[left + row]);
        if (all && longest == 1) std::copy_n(batch.logits[row], V, logits_out + begins[order[row]] * V);
      }
      active = left;
      if (active == 0) return;
      member.barrier();
      if (member.index == 0) {
        still.resize(active);
        batch.keep_only(still);
      }
      member.barrier();
    }
  });
  if (given_up.load()) {
    for (std::size_t row = 0; row < n; ++row) put_back(*reading[row], row);
    throw GivenUp();
  }
  for (std::size_t row = 0; row < n; ++row) {
    Slot& slot = *reading[row];
    if (asks) std::swap(slot.logits, spare_[row]);
    slot.logits_follow = true;
    slot.position += static_cast<std::int64_t>(lengths[order[row]]);
    if (!slot.seen.empty())
      for (std::size_t k = 0; k < lengths[order[row]]; ++k)
        slot.seen[static_cast<std::size_t>(texts[row][k])] = 1;
  }
}

void Engine::advance(const Slots& slots, const std::vector<std::size_t>& limits, std::size_t width,
                     bool together, std::int64_t* tokens, std::int64_t* counts, Ended* ended,
                     const GivesUp& gives_up) {
  std::fill_n(tokens, slots.size() * width, -1);
  std::fill_n(counts, slots.size(), 0);
  std::fill_n(ended, slots.size(), Ended::kLimit);
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> found = distinct(slots);
  std::vector<Row> rows;
  for (std::size_t k = 0; k < found.size(); ++k) {
    if (limits[k] == 0) continue;
    Slot& slot = *found[k];
    rows.push_back({&slot, k, &slot.draws.sampling, slot.draws.repetition_penalty, slot.draws.generator,
                    slot.draws.penalises() ? slot.seen.data() : nullptr, &slot.draws.stop, limits[k],
                    tokens + k * width});
  }
  run(rows, together, gives_up);
  for (Row& row : rows) {
    row.slot->draws.generator = row.generator;
    counts[row.number] = static_cast<std::int64_t>(row.count);
    ended[row.number] = row.ended;
  }
}

void Engine::generate(const Slots& slots, std::size_t steps, const SamplingOptions& options, double penalty,
                      Pcg64* generators, std::uint8_t* seen, std::int64_t* tokens, const GivesUp& gives_up) {
  if (slots.empty() || steps == 0) return;
  check_options(options);
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> found = distinct(slots);
  const std::vector<std::int64_t> no_stop;
  std::vector<Row> rows;
  for (std::size_t k = 0; k < found.size(); ++k)
    rows.push_back({found[k], k, &options, penalty, generators[k],
                    seen == nullptr ? nullptr : seen + k * static_cast<std::size_t>(vocabulary_size()),
                    &no_stop, steps, tokens + k * steps});
  run(rows, true, gives_up);
  for (std::size_t k = 0; k < found.size(); ++k) {
    generators[k] = rows[k].generator;
    for (std::size_t step = 0; step < steps && !found[k]->seen.empty(); ++step)
      found[k]->seen[static_cast<std::size_t>(rows[k].tokens[step])] = 1;
  }
}

// A token for a row. Throws what Sampler throws, with nothing changed but the generator.
void Engine::draw(Row& row, Sampler& sampler, std::vector<float>& penalised, const float* from) const {
  if (row.penalty != 1.0) {
    const auto penalty = static_cast<float>(row.penalty);
    const std::uint8_t* seen = row.seen;
    for (std::size_t token = 0; token < penalised.size(); ++token)
      penalised[token] = !seen[token]      ? from[token]
                         : from[token] > 0 ? from[token] / penalty
                                           : from[token] * penalty;
    from = penalised.data();
  }
  const std::int64_t token = sampler.sample(from, row.generator.uniform(), *row.sampling, row.number);
  row.tokens[row.count++] = token;
  if (row.seen != nullptr && row.seen[token] == 0) row.seen[token] = kJustSeen;
  if (std::find(row.stop->begin(), row.stop->end(), token) != row.stop->end())
    row.ended = Ended::kStop;
  else if (row.count < row.limit)
    return;
  row.leaves = true;
}

// Draws and reads until every row has left. Slots get their logits, states and positions; all else is left to
// the caller.
void Engine::run(std::vector<Row>& rows, bool together, const GivesUp& gives_up) {
  if (rows.empty()) return;
  const std::size_t n = rows.size(), V = static_cast<std::size_t>(vocabulary_size());
  std::vector<Slot*> slots;
  bool penalises = false;
  for (const Row& row : rows) {
    slots.push_back(row.slot);
    penalises |= row.penalty != 1.0;
  }
  Batch batch = begin(slots, n);
  // All that can throw is made before any thread runs: a member that left early would leave the others
  // waiting.
  const auto members = static_cast<std::size_t>(threads(n));
  std::vector<Sampler> samplers;
  for (std::size_t member = 0; member < members; ++member) samplers.emplace_back(V);
  std::vector<std::vector<float>> penalised(members, std::vector<float>(penalises ? V : 0));
  std::vector<std::exception_ptr> failures(members);
  std::vector<std::size_t> in_batch(n), kept;  // rows by their places in the batch
  std::iota(in_batch.begin(), in_batch.end(), 0);
  kept.reserve(n);
  Slots drawn(n);
  // A call of one step has changed no state where it ends early.
  const bool one_step = std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.limit == 1; });
  if (!one_step) keep(slots);
  reserve_spare(n);
  for (std::size_t row = 0; row < n; ++row) batch.logits[row] = spare_[row].data();
  Question question(gives_up);
  std::atomic<bool> over{false}, failing{false}, leaving{false};
  // All members go on without some rows.
  const auto shrink = [&](const Member& member, std::atomic<bool>& some, auto leaves) {
    member.barrier();
    if (member.index == 0) {
      kept.clear();
      for (std::size_t place = 0; place < batch.n; ++place)
        if (!leaves(rows[in_batch[place]])) kept.push_back(place);
      batch.keep_only(kept);
      for (std::size_t place = 0; place < kept.size(); ++place) {
        in_batch[place] = in_batch[kept[place]];
        drawn[place] = drawn[kept[place]];
      }
      some.store(false, std::memory_order_relaxed);
    }
    member.barrier();
  };
  run_team(static_cast<int>(members), [&](const Member& member) {
    const auto self = static_cast<std::size_t>(member.index);
    for (bool first = true; batch.n > 0; first = false) {
      if (member.index == 0 && question.answer()) over.store(true);
      for (std::size_t place = member.begin(batch.n); place < member.end(batch.n); ++place) {
        Row& row = rows[in_batch[place]];
        try {
          draw(row, samplers[self], penalised[self], first ? row.slot->logits.data() : batch.logits[place]);
          drawn[place] = row.tokens[row.count - 1];
        } catch (const std::invalid_argument&) {
          row.ended = Ended::kFailed;
          failing.store(true, std::memory_order_relaxed);
          if (!together) continue;
          if (!failures[self]) failures[self] = std::current_exception();
          over.store(true);
        } catch (...) {
          failures[self] = std::current_exception();
          over.store(true);
        }
        if (row.leaves) leaving.store(true, std::memory_order_relaxed);
      }
      ready(member, batch);
      member.barrier();
      if (over.load()) return;
      if (failing.load(std::memory_order_relaxed)) {
        shrink(member, failing, [](const Row& row) { return row.ended == Ended::kFailed; });
        if (batch.n == 0) return;
        ready(member, batch);
        member.barrier();
      }
      const bool some_leave = leaving.load(std::memory_order_relaxed);
      step(member, batch, drawn.data());
      logits(member, batch.n, batch.tops.data() + Readying(member, batch.n).place, batch.logits.data());
      if (some_leave) shrink(member, leaving, [](const Row& row) { return row.leaves; });
    }
  });
  for (std::size_t k = 0; k < n; ++k) {
    Row& row = rows[k];
    if (over.load() || row.ended == Ended::kFailed) {
      if (!one_step) put_back(*row.slot, k);
      row.take_back();
      row.generator = row.slot->draws.generator;
      continue;
    }
    row.settle(true);
    std::swap(row.slot->logits, spare_[k]);
    row.slot->logits_follow = true;
    row.slot->position += static_cast<std::int64_t>(row.count);
  }
  if (!over.load()) return;
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  throw GivenUp();
}

// What is fastest for one slot and for many, by trying: a small model is done before a second thread has
// woken up, and on a busy machine a barrier can cost more than the work that it parts.
void Engine::measure_threads() {
  constexpr int kRounds = 3;
  constexpr std::size_t kMany = 16;
  constexpr double kEnoughSeconds = 5e-4;
  std::vector<int> counts{1};
  for (int count = 2; count < hardware_threads(); count *= 2) counts.push_back(count);
  if (hardware_threads() > 1) counts.push_back(hardware_threads());
  if (counts.size() == 1) return;
  const Slots slots = open(kMany);
  const std::vector<std::int64_t> tokens(kMany, 0);
  for (const std::size_t n : {std::size_t{1}, kMany}) {
    const Slots some(slots.begin(), slots.begin() + static_cast<std::ptrdiff_t>(n));
    int& chosen = n == 1 ? threads_alone_ : threads_many_;
    double best = std::numeric_limits<double>::infinity();
    int fastest = 1;
    for (const int count : counts) {
      chosen = count;
      read(some, tokens.data(), 1, false, nullptr);
      double least = std::numeric_limits<double>::infinity();
      for (int round = 0; round < kRounds; ++round) {
        const auto begin = std::chrono::steady_clock::now();
        double seconds = 0;
        int steps = 0;
        while (seconds < kEnoughSeconds) {
          read(some, tokens.data(), 1, false, nullptr);
          ++steps;
          seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        }
        least = std::min(least, seconds / steps);
      }
      // A thread more has to be worth its core.
      if (least < 0.9 * best) {
        best = least;
        fastest = count;
      }
    }
    chosen = fastest;
  }
  slots_.clear();
}

}  // namespace throughtime
