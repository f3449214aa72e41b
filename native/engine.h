// A language model that holds many independent states and advances any of them as one batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "draws.h"
#include "language_model.h"
#include "turn.h"

namespace throughtime {

using Slots = std::vector<std::int64_t>;

// Calls from several threads take turns. A call that throws has changed nothing: neither a slot, nor what it
// was given to write on but `logits` and `tokens`. Each call can be given up while it waits for its turn;
// those that read or draw also between the steps.
class Engine {
 public:
  // threads: 0 measures what is fastest here, for one slot and for many.
  Engine(const EngineTensors& tensors, Precision precision, int threads, const Kernels& kernels);
  // Another engine with the same weights and as many threads: slots and turns of its own.
  std::unique_ptr<Engine> share() const;

  int vocabulary_size() const { return model_->vocabulary_size; }
  std::size_t state_size() const { return model_->state_size; }  // floats of a slot's state without padding
  std::size_t weight_bytes() const { return model_->weight_bytes(); }
  bool top_in_state() const { return model_->top_in_state(); }
  const char* isa() const { return model_->kernels.name; }
  // The threads that a step of so many slots uses.
  int threads(std::size_t slots) const { return slots >= kManySlots ? threads_many_ : threads_alone_; }

  // New states, as before the first token; their logits are those of nothing read: zeros.
  Slots open(std::size_t count, const GivesUp& gives_up = {});
  // Gives slots back. Their numbers never come again.
  void close(const Slots& slots, const GivesUp& gives_up = {});
  // Copies of all that slots hold, in new slots.
  Slots fork(const Slots& slots, const GivesUp& gives_up = {});
  // The same into slots that are open: targets[k] becomes what sources[k] is. Without `logits`, the targets'
  // own stay until something is read or they are recomputed.
  void copy(const Slots& sources, const Slots& targets, bool logits, const GivesUp& gives_up = {});

  // The states (n, state_size): for each layer the tensors of its state, the hidden state first.
  void get_states(const Slots& slots, float* states, const GivesUp& gives_up = {}) const;
  void set_states(const Slots& slots, const float* states, const GivesUp& gives_up = {});
  // The logits (n, V).
  void get_logits(const Slots& slots, float* logits, const GivesUp& gives_up = {}) const;
  void set_logits(const Slots& slots, const float* logits, const GivesUp& gives_up = {});
  // Whether the logits are those that the state gives (n).
  void get_logits_follow(const Slots& slots, bool* follow, const GivesUp& gives_up = {}) const;
  // The logits that states give. Throws std::invalid_argument where the state does not hold the last layer's
  // output.
  void recompute_logits(const Slots& slots, const GivesUp& gives_up = {});
  // Tokens that each slot has read (n).
  void get_positions(const Slots& slots, std::int64_t* positions, const GivesUp& gives_up = {}) const;
  void set_positions(const Slots& slots, const std::int64_t* positions, const GivesUp& gives_up = {});

  // How each slot draws.
  std::vector<Draws> get_draws(const Slots& slots, const GivesUp& gives_up = {}) const;
  void set_draws(const Slots& slots, const std::vector<Draws>& draws, const GivesUp& gives_up = {});
  // The random generators alone (n).
  void get_generators(const Slots& slots, Pcg64* generators, const GivesUp& gives_up = {}) const;
  void set_generators(const Slots& slots, const Pcg64* generators, const GivesUp& gives_up = {});
  // Which tokens each slot has seen (n, V): 1 or 0, and 0 where it draws without a repetition penalty.
  void get_seen(const Slots& slots, std::uint8_t* seen, const GivesUp& gives_up = {}) const;
  void set_seen(const Slots& slots, const std::uint8_t* seen, const GivesUp& gives_up = {});

  // Reads tokens for n different slots: lengths[k] for slot k, one slot's behind the other's. logits: (n, V)
  // of each slot, or (tokens, V) after each token where `all`; null where nobody wants them.
  void read(const Slots& slots, const std::int64_t* tokens, const std::vector<std::size_t>& lengths, bool all,
            float* logits, const GivesUp& gives_up = {});

  // As many for each slot: (n, steps).
  void read(const Slots& slots, const std::int64_t* tokens, std::size_t steps, bool all, float* logits,
            const GivesUp& gives_up = {}) {
    read(slots, tokens, std::vector<std::size_t>(slots.size(), steps), all, logits, gives_up);
  }

  // Each slot draws as its `Draws` say, from its own logits, and reads what it drew, until it has limits[k]
  // tokens or has drawn one of its stops. Who has left costs nothing.
  //   tokens  (n, width), written: each slot's tokens, and -1 behind them
  //   counts  (n), written: how many
  //   ended   (n), written: why
  // A slot that cannot be drawn from leaves as it came, kFailed; where `together`, the call throws.
  void advance(const Slots& slots, const std::vector<std::size_t>& limits, std::size_t width, bool together,
               std::int64_t* tokens, std::int64_t* counts, Ended* ended, const GivesUp& gives_up = {});

  // The same with draws that the caller keeps: `steps` tokens for each slot.
  //   generators  (n), moved on
  //   seen        (n, V) bytes that mark tokens for the repetition penalty, updated; null without one
  //   tokens      (n, steps), written
  void generate(const Slots& slots, std::size_t steps, const SamplingOptions& options, double penalty,
                Pcg64* generators, std::uint8_t* seen, std::int64_t* tokens, const GivesUp& gives_up = {});

 private:
  static constexpr std::size_t kManySlots = 4;

  struct Slot {
    Buffer<float> state;   // for each layer the tensors of its state, padded
    Buffer<float> logits;  // of the next token
    Draws draws;
    std::vector<std::uint8_t> seen;  // (V); empty without a repetition penalty
    std::int64_t position = 0;
    std::int64_t generation = 0;  // how often the place has been closed
    bool open = false, logits_follow = false;
  };
  struct Batch;
  struct Row;

  Engine(std::shared_ptr<const LanguageModel> model, int threads_alone, int threads_many);

  // engine_slots.cpp, engine_draws.cpp
  Slots open_slots(std::size_t count);
  void close_slots(const Slots& slots);
  void copy_slots(const std::vector<Slot*>& sources, const std::vector<Slot*>& targets, bool logits);
  Slot& slot_at(std::int64_t slot) const;
  std::vector<Slot*> found(const Slots& slots) const;
  std::vector<Slot*> distinct(const Slots& slots) const;
  // The states of slots before a call, and back again after one that did not come to its end.
  void keep(const std::vector<Slot*>& slots);
  void put_back(Slot& slot, std::size_t kept);
  // Logits that a call writes without touching its slots.
  void reserve_spare(std::size_t slots);

  // engine_steps.cpp
  Batch begin(const std::vector<Slot*>& slots, std::size_t rows);
  void ready(const Member& member, Batch& batch);
  void step(const Member& member, Batch& batch, const std::int64_t* tokens);
  void read_piece(const Member& member, Batch& batch, const std::int64_t* const* texts, std::size_t first,
                  std::size_t T);
  void logits(const Member& member, std::size_t n, const float* const* tops, float* const* out);

  // engine.cpp
  void check_tokens(const std::int64_t* tokens, std::size_t n) const;
  void run(std::vector<Row>& rows, bool together, const GivesUp& gives_up);
  void draw(Row& row, Sampler& sampler, std::vector<float>& penalised, const float* from) const;
  void measure_threads();

  std::shared_ptr<const LanguageModel> model_;
  std::vector<std::unique_ptr<RecurrentLayer::Room>> rooms_;  // one a layer
  int threads_alone_ = 1, threads_many_ = 1;
  mutable Turns turns_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::size_t> free_;  // places without a stream
  Prepared prepared_top_;
  Buffer<float> head_, projected_, tops_, kept_;
  std::vector<Buffer<float>> spare_;
};

}  // namespace throughtime
