// An engine's slots: where each stream's state lies.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "engine.h"

namespace throughtime {

std::int64_t Engine::open() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::int64_t slot;
  if (free_.empty()) {
    slot = static_cast<std::int64_t>(slots_.size());
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->memory = Buffer<float>(slot_floats_);
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Slot& opened = *slots_[static_cast<std::size_t>(slot)];
  std::copy_n(initial_.data(), slot_floats_, opened.memory.data());
  opened.open = true;
  return slot;
}

void Engine::close(std::int64_t slot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  slot_at(slot).open = false;
  free_.push_back(slot);
}

void Engine::copy(std::int64_t from, std::int64_t to) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Slot& source = slot_at(from);
  Slot& target = slot_at(to);
  if (from != to) std::copy_n(source.memory.data(), slot_floats_, target.memory.data());
}

void Engine::get_state(std::int64_t slot, float* state) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const float* memory = slot_at(slot).memory.data();
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    state = std::copy_n(memory + hidden_at_[layer], layers_[layer].state_size(), state);
    if (layers_[layer].has_cell_state())
      state = std::copy_n(memory + cell_at_[layer], layers_[layer].hidden_size(), state);
  }
}

void Engine::set_state(std::int64_t slot, const float* state) {
  const std::lock_guard<std::mutex> lock(mutex_);
  float* memory = slot_at(slot).memory.data();
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    std::copy_n(state, layers_[layer].state_size(), memory + hidden_at_[layer]);
    state += layers_[layer].state_size();
    if (!layers_[layer].has_cell_state()) continue;
    std::copy_n(state, layers_[layer].hidden_size(), memory + cell_at_[layer]);
    state += layers_[layer].hidden_size();
  }
}

void Engine::get_logits(std::int64_t slot, float* logits) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::copy_n(slot_at(slot).memory.data() + logits_at_, vocabulary_size_, logits);
}

void Engine::set_logits(std::int64_t slot, const float* logits) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::copy_n(logits, vocabulary_size_, slot_at(slot).memory.data() + logits_at_);
}

const Engine::Slot& Engine::slot_at(std::int64_t slot) const {
  if (slot < 0 || slot >= static_cast<std::int64_t>(slots_.size()) ||
      !slots_[static_cast<std::size_t>(slot)]->open)
    throw std::invalid_argument("slot " + std::to_string(slot) + " is not open");
  return *slots_[static_cast<std::size_t>(slot)];
}

Engine::Slot& Engine::slot_at(std::int64_t slot) {
  return const_cast<Slot&>(static_cast<const Engine*>(this)->slot_at(slot));
}

std::vector<Engine::Slot*> Engine::distinct(const std::vector<std::int64_t>& slots) {
  std::vector<Slot*> found;
  found.reserve(slots.size());
  for (std::int64_t slot : slots) found.push_back(&slot_at(slot));
  std::vector<Slot*> sorted = found;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    throw std::invalid_argument("a slot is named twice: each can take one step at a time");
  return found;
}

}  // namespace throughtime
