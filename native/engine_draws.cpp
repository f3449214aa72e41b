// How an engine's slots draw: their options, generators and the tokens that they have seen.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "engine.h"

namespace throughtime {

std::vector<Draws> Engine::get_draws(const Slots& slots, const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  std::vector<Draws> draws;
  for (const Slot* slot : found(slots)) draws.push_back(slot->draws);
  return draws;
}

void Engine::set_draws(const Slots& slots, const std::vector<Draws>& draws, const GivesUp& gives_up) {
  for (const Draws& one : draws) {
    check_options(one.sampling);
    if (!(one.repetition_penalty > 0 && std::isfinite(one.repetition_penalty)))
      throw std::invalid_argument("repetition_penalty must be above 0, not " +
                                  std::to_string(one.repetition_penalty));
    if (one.stop.size() > kMostStops)
      throw std::invalid_argument("there are " + std::to_string(one.stop.size()) +
                                  " stop tokens: a slot takes up to " + std::to_string(kMostStops));
    check_tokens(one.stop.data(), one.stop.size());
  }
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> found = distinct(slots);
  // What takes memory comes first.
  std::vector<Draws> copies = draws;
  std::vector<std::vector<std::uint8_t>> seen(found.size());
  for (std::size_t k = 0; k < found.size(); ++k)
    if (draws[k].penalises() && found[k]->seen.empty())
      seen[k].resize(static_cast<std::size_t>(vocabulary_size()));
  for (std::size_t k = 0; k < found.size(); ++k) {
    if (!draws[k].penalises() || found[k]->seen.empty()) found[k]->seen = std::move(seen[k]);
    found[k]->draws = std::move(copies[k]);
  }
}

void Engine::get_generators(const Slots& slots, Pcg64* generators, const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  for (const Slot* slot : found(slots)) *generators++ = slot->draws.generator;
}

void Engine::set_generators(const Slots& slots, const Pcg64* generators, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  for (Slot* slot : distinct(slots)) slot->draws.generator = *generators++;
}

void Engine::get_seen(const Slots& slots, std::uint8_t* seen, const GivesUp& gives_up) const {
  const Turn turn(turns_, gives_up);
  const auto V = static_cast<std::size_t>(vocabulary_size());
  for (const Slot* slot : found(slots)) {
    if (slot->seen.empty())
      std::fill_n(seen, V, 0);
    else
      std::copy_n(slot->seen.data(), V, seen);
    seen += V;
  }
}

void Engine::set_seen(const Slots& slots, const std::uint8_t* seen, const GivesUp& gives_up) {
  const Turn turn(turns_, gives_up);
  const auto V = static_cast<std::size_t>(vocabulary_size());
  for (Slot* slot : distinct(slots)) {
    if (!slot->seen.empty())
      std::transform(seen, seen + V, slot->seen.begin(), [](std::uint8_t mark) { return mark != 0; });
    seen += V;
  }
}

}  // namespace throughtime
