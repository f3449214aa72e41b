// Drawing for Python: how slots draw, and calls that draw.
#include <nanobind/stl/tuple.h>

#include <optional>

#include "bind_engine.h"

namespace throughtime::bindings {
namespace {

// Temperature, top_k, top_p, min_p and the repetition penalty of each slot.
using Options = nb::ndarray<const double, nb::shape<-1, 5>, nb::c_contig, nb::device::cpu>;
// State and increment of each generator, the upper 64 bits of each first.
using Generators = nb::ndarray<const std::uint64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using MovingGenerators = nb::ndarray<std::uint64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using Marks = nb::ndarray<std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ReadMarks = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t kWords = 4;
// Of tokens a slot and call: more would be an array of 16 GiB for one.
constexpr std::int64_t kLargestLimit = std::int64_t{1} << 31;

std::size_t checked(const char* what, std::int64_t count) {
  if (count < 0 || count > kLargestLimit)
    throw std::invalid_argument(std::string(what) + " must be from 0 to " + std::to_string(kLargestLimit) +
                                ", not " + std::to_string(count));
  return static_cast<std::size_t>(count);
}

Pcg64 generator_at(const std::uint64_t* words) { return Pcg64({words[0], words[1], words[2], words[3]}); }

template <class Array>
std::vector<Pcg64> generators_of(const Array& words) {
  std::vector<Pcg64> generators;
  for (std::size_t k = 0; k < words.shape(0); ++k)
    generators.push_back(generator_at(words.data() + k * kWords));
  return generators;
}

void write_words(const Pcg64& generator, std::uint64_t* to) {
  const Pcg64::Words words = generator.words();
  std::copy(words.begin(), words.end(), to);
}

nb::ndarray<nb::numpy, std::uint64_t> words_of(const std::vector<Pcg64>& generators) {
  NewArray<std::uint64_t> words({generators.size(), kWords});
  for (std::size_t k = 0; k < generators.size(); ++k) write_words(generators[k], words.data() + k * kWords);
  return words.give();
}

// stops: those of all slots, one slot's behind the other's; stop_counts: how many each has.
void set_draws(Engine& engine, Whole<1> slots, Options options, Generators generators, Whole<1> stops,
               Whole<1> stop_counts) {
  const std::size_t n = slots.shape(0);
  check_count("rows of options", options.shape(0), n);
  check_count("generators", generators.shape(0), n);
  check_count("counts of stop tokens", stop_counts.shape(0), n);
  std::vector<Draws> draws(n);
  const std::int64_t *stop = stops.data(), *end = stop + stops.shape(0);
  for (std::size_t k = 0; k < n; ++k) {
    const double* row = options.data() + 5 * k;
    if (!(row[1] >= 0 && row[1] <= static_cast<double>(kLargestLimit)))
      throw std::invalid_argument("top_k must be from 0 to " + std::to_string(kLargestLimit));
    draws[k].sampling = {row[0], static_cast<std::int64_t>(row[1]), row[2], row[3]};
    draws[k].repetition_penalty = row[4];
    draws[k].generator = generator_at(generators.data() + k * kWords);
    const std::int64_t count = stop_counts.data()[k];
    if (count < 0 || count > end - stop) throw std::invalid_argument("stop tokens and their counts disagree");
    draws[k].stop.assign(stop, stop + count);
    stop += count;
  }
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.set_draws(list, draws, gives_up); });
}

// As `set_draws` takes them.
nb::tuple get_draws(const Engine& engine, Whole<1> slots) {
  const Slots list = slot_list(slots);
  const std::vector<Draws> draws =
      without_python([&](const GivesUp& gives_up) { return engine.get_draws(list, gives_up); });
  NewArray<double> options({draws.size(), 5});
  NewArray<std::int64_t> counts({draws.size()});
  std::vector<Pcg64> generators;
  std::vector<std::int64_t> stops;
  for (std::size_t k = 0; k < draws.size(); ++k) {
    const Draws& one = draws[k];
    const double row[] = {one.sampling.temperature, static_cast<double>(one.sampling.top_k),
                          one.sampling.top_p, one.sampling.min_p, one.repetition_penalty};
    std::copy(std::begin(row), std::end(row), options.data() + 5 * k);
    generators.push_back(one.generator);
    stops.insert(stops.end(), one.stop.begin(), one.stop.end());
    counts.data()[k] = static_cast<std::int64_t>(one.stop.size());
  }
  return nb::make_tuple(options.give(), words_of(generators), array_of(stops), counts.give());
}

nb::ndarray<nb::numpy, std::uint64_t> get_generators(const Engine& engine, Whole<1> slots) {
  const Slots list = slot_list(slots);
  std::vector<Pcg64> generators(list.size());
  without_python([&](const GivesUp& gives_up) { engine.get_generators(list, generators.data(), gives_up); });
  return words_of(generators);
}

void set_generators(Engine& engine, Whole<1> slots, Generators words) {
  check_count("generators", words.shape(0), slots.shape(0));
  const Slots list = slot_list(slots);
  const std::vector<Pcg64> generators = generators_of(words);
  without_python([&](const GivesUp& gives_up) { engine.set_generators(list, generators.data(), gives_up); });
}

template <class Array>
void check_seen(const Engine& engine, const Array& seen, std::size_t slots) {
  if (seen.shape(0) != slots || seen.shape(1) != static_cast<std::size_t>(engine.vocabulary_size()))
    throw std::invalid_argument("seen has another shape than (slots, vocabulary)");
}

nb::ndarray<nb::numpy, std::uint8_t> get_seen(const Engine& engine, Whole<1> slots) {
  NewArray<std::uint8_t> seen({slots.shape(0), static_cast<std::size_t>(engine.vocabulary_size())});
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.get_seen(list, seen.data(), gives_up); });
  return seen.give();
}

void set_seen(Engine& engine, Whole<1> slots, ReadMarks seen) {
  check_seen(engine, seen, slots.shape(0));
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.set_seen(list, seen.data(), gives_up); });
}

// Tokens (N, K), how many each slot has (N,), and why it left (N,).
nb::tuple advance(Engine& engine, Whole<1> slots, Whole<1> limits, bool together) {
  const std::size_t n = slots.shape(0);
  check_count("limits", limits.shape(0), n);
  std::vector<std::size_t> most(n);
  std::size_t width = 0;
  for (std::size_t k = 0; k < n; ++k) {
    most[k] = checked("limits", limits.data()[k]);
    width = std::max(width, most[k]);
  }
  NewArray<std::int64_t> tokens({n, width}), counts({n});
  NewArray<std::int8_t> ended({n});
  const Slots list = slot_list(slots);
  std::vector<Ended> why(n);
  without_python([&](const GivesUp& gives_up) {
    engine.advance(list, most, width, together, tokens.data(), counts.data(), why.data(), gives_up);
  });
  for (std::size_t k = 0; k < n; ++k) ended.data()[k] = static_cast<std::int8_t>(why[k]);
  return nb::make_tuple(tokens.give(), counts.give(), ended.give());
}

// Generators and marks of a caller that keeps them, moved on together with the slots or not at all: Python
// may raise a signal's exception behind a call that came to its end.
nb::ndarray<nb::numpy, std::int64_t> generate(Engine& engine, Whole<1> slots, std::int64_t steps,
                                              MovingGenerators words, double temperature, std::int64_t top_k,
                                              double top_p, double min_p, double repetition_penalty,
                                              std::optional<Marks> seen) {
  const std::size_t n = slots.shape(0), count = checked("steps", steps);
  check_count("generators", words.shape(0), n);
  if (repetition_penalty != 1.0 && !seen)
    throw std::invalid_argument("a repetition penalty needs to know the tokens seen");
  if (seen) check_seen(engine, *seen, n);
  NewArray<std::int64_t> tokens({n, count});
  const Slots list = slot_list(slots);
  std::vector<Pcg64> generators = generators_of(words);
  without_python([&](const GivesUp& gives_up) {
    engine.generate(list, count, {temperature, top_k, top_p, min_p}, repetition_penalty, generators.data(),
                    seen ? seen->data() : nullptr, tokens.data(), gives_up);
  });
  for (std::size_t k = 0; k < n; ++k) write_words(generators[k], words.data() + k * kWords);
  return tokens.give();
}

nb::ndarray<nb::numpy, double> uniforms(MovingGenerators words, std::int64_t steps) {
  const std::size_t count = checked("steps", steps);
  const std::size_t n = words.shape(0);
  NewArray<double> drawn({count, n});
  for (std::size_t row = 0; row < n; ++row) {
    Pcg64 generator = generator_at(words.data() + row * kWords);
    for (std::size_t step = 0; step < count; ++step) drawn.data()[step * n + row] = generator.uniform();
    write_words(generator, words.data() + row * kWords);
  }
  return drawn.give();
}

}  // namespace

void bind_draws(nb::module_& module, nb::class_<Engine>& engine) {
  module.def("uniforms", &uniforms, "generators"_a.noconvert(), "steps"_a,
             "The next numbers (steps, N) of NumPy's PCG64 from (N, 4) words, which move on.");
  engine.def("draws", &get_draws, "slots"_a)
      .def("set_draws", &set_draws, "slots"_a, "options"_a, "generators"_a, "stops"_a, "stop_counts"_a)
      .def("generators", &get_generators, "slots"_a)
      .def("set_generators", &set_generators, "slots"_a, "generators"_a)
      .def("seen", &get_seen, "slots"_a)
      .def("set_seen", &set_seen, "slots"_a, "seen"_a)
      .def("advance", &advance, "slots"_a, "limits"_a, "together"_a = false)
      .def("generate", &generate, "slots"_a, "steps"_a, "generators"_a.noconvert(), "temperature"_a = 1.0,
           "top_k"_a = 0, "top_p"_a = 1.0, "min_p"_a = 0.0, "repetition_penalty"_a = 1.0,
           "seen"_a.none() = nb::none());
}

}  // namespace throughtime::bindings
