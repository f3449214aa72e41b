// An engine's slots: where each stream's state lies.
//
// A slot's number is its place below and the place's generation above: a place serves many streams one after
// the other, and the number of one that was closed must not reach the next one's state.
#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "engine.h"

namespace throughtime {
namespace {

constexpr int kPlaceBits = 32;
constexpr std::int64_t kPlaces = std::int64_t{1} << kPlaceBits;
// So that a number stays positive. A place that has come so far is not used again.
constexpr std::int64_t kLastGeneration = std::numeric_limits<std::int64_t>::max() >> kPlaceBits;

std::size_t place_of(std::int64_t slot) { return static_cast<std::size_t>(slot % kPlaces); }

}  // namespace

std::vector<std::int64_t> Engine::open(std::size_t count, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  return open_slots(count);
}

std::vector<std::int64_t> Engine::open_slots(std::size_t count) {
  std::vector<std::int64_t> opened(count);
  const std::size_t before = slots_.size(), reused = std::min(count, free_.size());
  // All that can fail comes first, so that a call opens every slot or none.
  try {
    for (std::size_t k = reused; k < count; ++k) {
      slots_.push_back(std::make_unique<Slot>());
      slots_.back()->memory = Buffer<float>(slot_floats_);
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
    std::copy_n(initial_.data(), slot_floats_, slot.memory.data());
    slot.open = true;
    opened[k] = slot.generation * kPlaces + static_cast<std::int64_t>(place);
  }
  return opened;
}

void Engine::close(const std::vector<std::int64_t>& slots, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> found = distinct(slots);
  for (std::size_t k = 0; k < slots.size(); ++k) {
    Slot& slot = *found[k];
    slot.open = false;
    if (slot.generation++ < kLastGeneration)
      free_.push_back(place_of(slots[k]));
    else
      slot.memory = Buffer<float>();
  }
}

std::vector<std::int64_t> Engine::fork(const std::vector<std::int64_t>& slots, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> sources = found(slots);
  const std::vector<std::int64_t> copies = open_slots(slots.size());
  for (std::size_t k = 0; k < slots.size(); ++k)
    std::copy_n(sources[k]->memory.data(), slot_floats_, slot_at(copies[k]).memory.data());
  return copies;
}

void Engine::get_states(const std::vector<std::int64_t>& slots, float* states,
                        const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  for (const Slot* slot : found(slots)) {
    const float* memory = slot->memory.data();
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      states = std::copy_n(memory + hidden_at_[layer], layers_[layer].state_size(), states);
      if (layers_[layer].has_cell_state())
        states = std::copy_n(memory + cell_at_[layer], layers_[layer].hidden_size(), states);
    }
  }
}

void Engine::set_states(const std::vector<std::int64_t>& slots, const float* states,
                        const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  for (Slot* slot : distinct(slots)) {
    float* memory = slot->memory.data();
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      std::copy_n(states, layers_[layer].state_size(), memory + hidden_at_[layer]);
      states += layers_[layer].state_size();
      if (!layers_[layer].has_cell_state()) continue;
      std::copy_n(states, layers_[layer].hidden_size(), memory + cell_at_[layer]);
      states += layers_[layer].hidden_size();
    }
  }
}

void Engine::get_logits(const std::vector<std::int64_t>& slots, float* logits,
                        const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  for (const Slot* slot : found(slots))
    logits = std::copy_n(slot->memory.data() + logits_at_, vocabulary_size_, logits);
}

void Engine::set_logits(const std::vector<std::int64_t>& slots, const float* logits,
                        const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  for (Slot* slot : distinct(slots)) {
    std::copy_n(logits, vocabulary_size_, slot->memory.data() + logits_at_);
    logits += vocabulary_size_;
  }
}

Engine::Slot& Engine::slot_at(std::int64_t slot) const {
  const std::size_t place = slot < 0 ? slots_.size() : place_of(slot);
  if (place >= slots_.size() || !slots_[place]->open || slots_[place]->generation != slot / kPlaces)
    throw std::invalid_argument("slot " + std::to_string(slot) +
                                " is not open: it has been closed, or `open` never gave it out");
  return *slots_[place];
}

std::vector<Engine::Slot*> Engine::found(const std::vector<std::int64_t>& slots) const {
  std::vector<Slot*> found;
  found.reserve(slots.size());
  for (std::int64_t slot : slots) found.push_back(&slot_at(slot));
  return found;
}

std::vector<Engine::Slot*> Engine::distinct(const std::vector<std::int64_t>& slots) const {
  std::vector<Slot*> all = found(slots);
  std::vector<Slot*> sorted = all;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    throw std::invalid_argument("a slot is named twice: a call takes each once");
  return all;
}

void Engine::keep(const std::vector<Slot*>& slots) {
  kept_.reserve(slots.size() * slot_floats_);
  for (std::size_t k = 0; k < slots.size(); ++k)
    std::copy_n(slots[k]->memory.data(), slot_floats_, kept_.data() + k * slot_floats_);
}

void Engine::put_back(const std::vector<Slot*>& slots) {
  for (std::size_t k = 0; k < slots.size(); ++k)
    std::copy_n(kept_.data() + k * slot_floats_, slot_floats_, slots[k]->memory.data());
}

}  // namespace throughtime
