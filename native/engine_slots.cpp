// An engine's slots: where each stream's state lies.
//
// A slot's number is its place below and the place's generation above: a place serves many streams one after
// the other, and the number of one that was closed must not reach the next one's state.
#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "engine_batch.h"

namespace throughtime {
namespace {

constexpr int kPlaceBits = 32;
constexpr std::int64_t kPlaces = std::int64_t{1} << kPlaceBits;
// So that a number stays positive. A place that has come so far is not used again.
constexpr std::int64_t kLastGeneration = std::numeric_limits<std::int64_t>::max() >> kPlaceBits;

std::size_t place_of(std::int64_t slot) { return static_cast<std::size_t>(slot % kPlaces); }

}  // namespace

Slots Engine::open(std::size_t count, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  return open_slots(count);
}

Slots Engine::open_slots(std::size_t count) {
  Slots opened(count);
  const std::size_t before = slots_.size(), reused = std::min(count, free_.size());
  // All that can fail comes first, so that a call opens every slot or none.
  try {
    for (std::size_t k = reused; k < count; ++k) {
      slots_.push_back(std::make_unique<Slot>());
      slots_.back()->state = Buffer<float>(model_->state_floats);
      slots_.back()->logits = Buffer<float>(static_cast<std::size_t>(vocabulary_size()));
    }
    free_.reserve(slots_.size());  // nor may a call that closes them fail
  } catch (...) {
    slots_.resize(before);
    throw;
  }
  for (std::size_t k = 0; k < count; ++k) {
    std::size_t place = before + k - reused;
    if (k < reused) {
      place = free_.back();
      free_.pop_back();
    }
    Slot& slot = *slots_[place];
    std::copy_n(model_->initial.data(), model_->state_floats, slot.state.data());
    std::fill_n(slot.logits.data(), vocabulary_size(), 0.0f);
    slot.draws = Draws();
    slot.seen.clear();
    slot.position = 0;
    slot.logits_follow = false;
    slot.open = true;
    opened[k] = slot.generation * kPlaces + static_cast<std::int64_t>(place);
  }
  return opened;
}

void Engine::close(const Slots& slots, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  distinct(slots);  // all of them are open
  close_slots(slots);
}

void Engine::close_slots(const Slots& slots) {
  for (const std::int64_t number : slots) {
    Slot& slot = slot_at(number);
    slot.open = false;
    if (slot.generation++ < kLastGeneration)
      free_.push_back(place_of(number));
    else
      for (Buffer<float>* memory : {&slot.state, &slot.logits}) *memory = Buffer<float>();
  }
}

Slots Engine::fork(const Slots& slots, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> sources = found(slots);
  const Slots copies = open_slots(slots.size());
  try {
    copy_slots(sources, found(copies), true);
  } catch (...) {
    close_slots(copies);
    throw;
  }
  return copies;
}

void Engine::copy(const Slots& sources, const Slots& targets, bool logits, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> from = found(sources), to = distinct(targets);
  std::vector<Slot*> sorted = to;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t k = 0; k < from.size(); ++k)
    if (std::binary_search(sorted.begin(), sorted.end(), from[k]))
      throw std::invalid_argument("slot " + std::to_string(sources[k]) +
                                  " is a source and a target: a call copies from some slots to others");
  copy_slots(from, to, logits);
}

// What takes memory comes first, so that a copy is of all slots or of none.
void Engine::copy_slots(const std::vector<Slot*>& sources, const std::vector<Slot*>& targets, bool logits) {
  std::vector<Draws> draws;
  std::vector<std::vector<std::uint8_t>> seen;
  draws.reserve(sources.size());
  seen.reserve(sources.size());
  for (const Slot* source : sources) {
    draws.push_back(source->draws);
    seen.push_back(source->seen);
  }
  for (std::size_t k = 0; k < sources.size(); ++k) {
    const Slot& source = *sources[k];
    Slot& target = *targets[k];
    std::copy_n(source.state.data(), model_->state_floats, target.state.data());
    if (logits) std::copy_n(source.logits.data(), vocabulary_size(), target.logits.data());
    target.logits_follow = logits && source.logits_follow;
    target.draws = std::move(draws[k]);
    target.seen = std::move(seen[k]);
    target.position = source.position;
  }
}

void Engine::get_states(const Slots& slots, float* states, const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  for (const Slot* slot : found(slots))
    for (std::size_t layer = 0; layer < model_->layers.size(); ++layer)
      for (std::size_t part = 0; part < model_->state_at[layer].size(); ++part)
        states = std::copy_n(slot->state.data() + model_->state_at[layer][part],
                             model_->layers[layer]->state_sizes()[part], states);
}

void Engine::set_states(const Slots& slots, const float* states, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  for (Slot* slot : distinct(slots)) {
    for (std::size_t layer = 0; layer < model_->layers.size(); ++layer)
      for (std::size_t part = 0; part < model_->state_at[layer].size(); ++part) {
        const int size = model_->layers[layer]->state_sizes()[part];
        std::copy_n(states, size, slot->state.data() + model_->state_at[layer][part]);
        states += size;
      }
    slot->logits_follow = false;
  }
}

void Engine::get_logits(const Slots& slots, float* logits, const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  for (const Slot* slot : found(slots)) logits = std::copy_n(slot->logits.data(), vocabulary_size(), logits);
}

void Engine::set_logits(const Slots& slots, const float* logits, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  for (Slot* slot : distinct(slots)) {
    std::copy_n(logits, vocabulary_size(), slot->logits.data());
    slot->logits_follow = false;
    logits += vocabulary_size();
  }
}

void Engine::get_logits_follow(const Slots& slots, bool* follow, const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  for (const Slot* slot : found(slots)) *follow++ = slot->logits_follow && model_->top_in_state();
}

void Engine::recompute_logits(const Slots& slots, const GivesUp& gives_up) {
  if (!model_->top_in_state())
    throw std::invalid_argument("this model's logits do not follow from its state: set them");
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> found = distinct(slots);
  if (found.empty()) return;
  const RecurrentLayer& top = *model_->layers.back();
  const std::size_t at = model_->state_at.back()[static_cast<std::size_t>(top.output_part())];
  std::vector<const float*> tops;
  for (const Slot* slot : found) tops.push_back(slot->state.data() + at + top.output_offset());
  Batch batch = begin(found, found.size());
  run_team(threads(found.size()),
           [&](const Member& member) { logits(member, batch.n, tops.data(), batch.logits.data()); });
  for (Slot* slot : found) slot->logits_follow = true;
}

void Engine::get_positions(const Slots& slots, std::int64_t* positions, const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  for (const Slot* slot : found(slots)) *positions++ = slot->position;
}

void Engine::set_positions(const Slots& slots, const std::int64_t* positions, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  for (Slot* slot : distinct(slots)) slot->position = *positions++;
}

Engine::Slot& Engine::slot_at(std::int64_t slot) const {
  const std::size_t place = slot < 0 ? slots_.size() : place_of(slot);
  if (place >= slots_.size() || !slots_[place]->open || slots_[place]->generation != slot / kPlaces)
    throw std::invalid_argument("slot " + std::to_string(slot) +
                                " is not open: it has been closed, or `open` never gave it out");
  return *slots_[place];
}

std::vector<Engine::Slot*> Engine::found(const Slots& slots) const {
  std::vector<Slot*> found;
  found.reserve(slots.size());
  for (std::int64_t slot : slots) found.push_back(&slot_at(slot));
  return found;
}

std::vector<Engine::Slot*> Engine::distinct(const Slots& slots) const {
  std::vector<Slot*> all = found(slots);
  std::vector<Slot*> sorted = all;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    throw std::invalid_argument("a slot is named twice: a call takes each once");
  return all;
}

void Engine::keep(const std::vector<Slot*>& slots) {
  kept_.reserve(slots.size() * model_->state_floats);
  for (std::size_t k = 0; k < slots.size(); ++k)
    std::copy_n(slots[k]->state.data(), model_->state_floats, kept_.data() + k * model_->state_floats);
}

void Engine::put_back(Slot& slot, std::size_t kept) {
  std::copy_n(kept_.data() + kept * model_->state_floats, model_->state_floats, slot.state.data());
}

void Engine::reserve_spare(std::size_t slots) {
  while (spare_.size() < slots) spare_.emplace_back(static_cast<std::size_t>(vocabulary_size()));
}

}  // namespace throughtime
