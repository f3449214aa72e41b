// The language model for Python.
#include "bind_engine.h"

namespace throughtime::bindings {
namespace {

std::unique_ptr<Engine> make_engine(const nb::dict& given, const nb::list& layers, const std::string& cell,
                                    const std::string& activation, bool reset_after, double keep_hidden,
                                    double keep_cell, const std::string& precision, int threads,
                                    const std::string& isa) {
  Tensors tensors(given);
  EngineTensors engine;
  const std::int64_t V = tensors.side("output.weight", 0);
  if (V <= 0 || V > kLargestSide)
    throw std::invalid_argument("output.weight has " + std::to_string(V) + " rows: no size of a vocabulary");
  engine.vocabulary_size = static_cast<int>(V);
  if (tensors.has("embedding.weight")) {
    const std::int64_t E = tensors.side("embedding.weight", 1);
    engine.embedding_size = static_cast<int>(E);
    engine.embedding = tensors.take("embedding.weight", {V, E});
    if (E <= 0 || E > kLargestSide)
      throw std::invalid_argument("embedding.weight has no columns, or too many");
  }
  std::vector<nb::dict> dicts;
  std::vector<std::unique_ptr<Tensors>> kept;
  std::int64_t width = engine.embedding_size > 0 ? engine.embedding_size : V;
  for (nb::handle one : layers) dicts.push_back(nb::cast<nb::dict>(one));
  if (dicts.empty()) throw std::invalid_argument("there are no layers");
  for (const nb::dict& dict : dicts) {
    kept.push_back(std::make_unique<Tensors>(dict));
    EngineLayer layer;
    std::vector<int> sizes;
    int reads, gives;
    if (dict.contains("plan.numbers")) {
      // The arrays belong to the dictionary, which outlives the engine's making.
      const ProgramSpec spec = program_of(plan_of(nb::cast<Whole<1>>(dict["plan.numbers"]),
                                                  nb::cast<std::vector<Tensor>>(dict["plan.arrays"])));
      layer.make = [spec](Precision kind, const Kernels& kernels) {
        return std::make_unique<ProgramLayer>(spec, kind, kernels);
      };
      sizes = spec.state_sizes, reads = spec.input_size, gives = spec.output_size;
    } else {
      const LayerTensors one =
          layer_tensors(*kept.back(), {cell, activation, reset_after, keep_hidden, keep_cell});
      layer.make = [one](Precision kind, const Kernels& kernels) {
        return std::make_unique<Layer>(one, kind, kernels);
      };
      layer.project_one_hot = [one](const RecurrentLayer& made, int column, float* projected) {
        static_cast<const Layer&>(made).project_one_hot(column, one.weight_ih, projected);
      };
      sizes = {one.state_size}, reads = one.input_size, gives = one.state_size;
      if (one.kind == CellKind::kLstm) sizes.push_back(one.hidden_size);
    }
    if (reads != width)
      throw std::invalid_argument("layer " + std::to_string(engine.layers.size()) + " reads " +
                                  std::to_string(reads) + " numbers, and gets " + std::to_string(width));
    width = gives;
    for (std::size_t part = 0; part < sizes.size(); ++part)
      layer.initial.push_back(
          kept.back()->take_if_there(("initial." + std::to_string(part)).c_str(), {sizes[part]}));
    engine.layers.push_back(std::move(layer));
  }
  engine.output_weight = tensors.take("output.weight", {V, width});
  engine.output_bias = tensors.take_if_there("output.bias", {V});
  nb::gil_scoped_release released;
  return std::make_unique<Engine>(engine, precision_named(precision), threads, kernels_of(isa));
}

}  // namespace

unsigned long main_thread = 0;

bool signal_raised() {
  const nb::gil_scoped_acquire acquired;
  return PyErr_CheckSignals() != 0;
}

namespace {

nb::ndarray<nb::numpy, std::int64_t> open(Engine& engine, std::size_t count) {
  return array_of(without_python([&](const GivesUp& gives_up) { return engine.open(count, gives_up); }));
}

void close(Engine& engine, Whole<1> slots) {
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.close(list, gives_up); });
}

nb::ndarray<nb::numpy, std::int64_t> fork(Engine& engine, Whole<1> slots) {
  const Slots list = slot_list(slots);
  return array_of(without_python([&](const GivesUp& gives_up) { return engine.fork(list, gives_up); }));
}

// For each slot's tokens, one slot's behind the other's, how many.
void copy(Engine& engine, Whole<1> sources, Whole<1> targets, bool logits) {
  if (sources.shape(0) != targets.shape(0))
    throw std::invalid_argument("there are " + std::to_string(sources.shape(0)) + " sources for " +
                                std::to_string(targets.shape(0)) + " targets");
  const Slots from = slot_list(sources), to = slot_list(targets);
  without_python([&](const GivesUp& gives_up) { engine.copy(from, to, logits, gives_up); });
}

nb::ndarray<nb::numpy, float> read_tokens(Engine& engine, Whole<1> slots, Whole<2> tokens, bool all) {
  const std::size_t n = slots.shape(0), T = tokens.shape(1),
                    V = static_cast<std::size_t>(engine.vocabulary_size());
  if (tokens.shape(0) != n)
    throw std::invalid_argument("there are " + std::to_string(tokens.shape(0)) + " rows of tokens for " +
                                std::to_string(n) + " slots");
  NewArray<float> logits(all ? std::vector<std::size_t>{n, T, V} : std::vector<std::size_t>{n, V});
  // A copy, as the tokens that are checked have to be those that are read: another thread may write on the
  // caller's array meanwhile.
  const std::vector<std::int64_t> text(tokens.data(), tokens.data() + n * T);
  const Slots list = slot_list(slots);
  without_python(
      [&](const GivesUp& gives_up) { engine.read(list, text.data(), T, all, logits.data(), gives_up); });
  return logits.give();
}

nb::object read_ragged(Engine& engine, Whole<1> slots, Whole<1> tokens, Whole<1> lengths,
                       const std::string& logits) {
  const std::size_t n = slots.shape(0), total = tokens.shape(0),
                    V = static_cast<std::size_t>(engine.vocabulary_size());
  if (lengths.shape(0) != n)
    throw std::invalid_argument("there are " + std::to_string(lengths.shape(0)) + " lengths for " +
                                std::to_string(n) + " slots");
  std::vector<std::size_t> counts(n);
  std::size_t left = total;
  for (std::size_t k = 0; k < n; ++k) {
    const std::int64_t length = lengths.data()[k];
    if (length < 0 || static_cast<std::uint64_t>(length) > left)
      throw std::invalid_argument("lengths do not add up to the " + std::to_string(total) + " tokens");
    counts[k] = static_cast<std::size_t>(length);
    left -= counts[k];
  }
  if (left > 0)
    throw std::invalid_argument("lengths do not add up to the " + std::to_string(total) + " tokens");
  const bool all = logits == "all", none = logits == "none";
  NewArray<float> given(none ? std::vector<std::size_t>{0} : std::vector<std::size_t>{all ? total : n, V});
  const std::vector<std::int64_t> text(tokens.data(), tokens.data() + total);  // as in read_tokens
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) {
    engine.read(list, text.data(), counts, all, none ? nullptr : given.data(), gives_up);
  });
  return none ? nb::none() : nb::cast(given.give());
}

nb::ndarray<nb::numpy, float> get_states(const Engine& engine, Whole<1> slots) {
  NewArray<float> states({slots.shape(0), engine.state_size()});
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.get_states(list, states.data(), gives_up); });
  return states.give();
}

nb::ndarray<nb::numpy, float> get_logits(const Engine& engine, Whole<1> slots) {
  NewArray<float> logits({slots.shape(0), static_cast<std::size_t>(engine.vocabulary_size())});
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.get_logits(list, logits.data(), gives_up); });
  return logits.give();
}

void check_rows(const char* what, Floats<2> values, std::size_t rows, std::size_t columns) {
  if (values.shape(0) != rows || values.shape(1) != columns)
    throw std::invalid_argument(
        std::string(what) + " have the shape " +
        describe({static_cast<std::int64_t>(values.shape(0)), static_cast<std::int64_t>(values.shape(1))}) +
        ", expected " + describe({static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)}));
}

void set_states(Engine& engine, Whole<1> slots, Floats<2> states) {
  check_rows("the states", states, slots.shape(0), engine.state_size());
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.set_states(list, states.data(), gives_up); });
}

void set_logits(Engine& engine, Whole<1> slots, Floats<2> logits) {
  check_rows("the logits", logits, slots.shape(0), static_cast<std::size_t>(engine.vocabulary_size()));
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.set_logits(list, logits.data(), gives_up); });
}

nb::ndarray<nb::numpy, bool> logits_follow(const Engine& engine, Whole<1> slots) {
  NewArray<bool> follow({slots.shape(0)});
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.get_logits_follow(list, follow.data(), gives_up); });
  return follow.give();
}

void recompute_logits(Engine& engine, Whole<1> slots) {
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.recompute_logits(list, gives_up); });
}

nb::ndarray<nb::numpy, std::int64_t> get_positions(const Engine& engine, Whole<1> slots) {
  NewArray<std::int64_t> positions({slots.shape(0)});
  const Slots list = slot_list(slots);
  without_python([&](const GivesUp& gives_up) { engine.get_positions(list, positions.data(), gives_up); });
  return positions.give();
}

void set_positions(Engine& engine, Whole<1> slots, Whole<1> positions) {
  check_count("positions", positions.shape(0), slots.shape(0));
  const Slots list = slot_list(slots), values = slot_list(positions);
  without_python([&](const GivesUp& gives_up) { engine.set_positions(list, values.data(), gives_up); });
}

}  // namespace

void bind_engine(nb::module_& module) {
  main_thread =
      nb::cast<unsigned long>(nb::module_::import_("threading").attr("main_thread")().attr("ident"));
  nb::class_<Engine> engine(module, "Engine",
                            "A language model that holds many states; see throughtime.runtime.Engine.");
  engine
      .def(nb::new_(&make_engine), "tensors"_a, "layers"_a, "cell"_a, "activation"_a = "tanh",
           "reset_after"_a = true, "keep_hidden"_a = 0.0, "keep_cell"_a = 0.0, "precision"_a = "fp32",
           "threads"_a = 0, "isa"_a = "")
      .def("share", &Engine::share)
      .def_prop_ro("vocabulary_size", &Engine::vocabulary_size)
      .def_prop_ro("state_size", &Engine::state_size)
      .def_prop_ro("weight_bytes", &Engine::weight_bytes)
      .def_prop_ro("top_in_state", &Engine::top_in_state)
      .def_prop_ro("isa", [](const Engine& engine) { return std::string(engine.isa()); })
      .def("threads", &Engine::threads, "slots"_a = 1)
      .def("open", &open, "count"_a)
      .def("close", &close, "slots"_a)
      .def("fork", &fork, "slots"_a)
      .def("copy", &copy, "sources"_a, "targets"_a, "logits"_a = true)
      .def("states", &get_states, "slots"_a)
      .def("set_states", &set_states, "slots"_a, "states"_a.noconvert())
      .def("logits", &get_logits, "slots"_a)
      .def("set_logits", &set_logits, "slots"_a, "logits"_a.noconvert())
      .def("logits_follow", &logits_follow, "slots"_a)
      .def("recompute_logits", &recompute_logits, "slots"_a)
      .def("positions", &get_positions, "slots"_a)
      .def("set_positions", &set_positions, "slots"_a, "positions"_a)
      .def("read", &read_tokens, "slots"_a, "tokens"_a, "all"_a = false)
      .def("read_ragged", &read_ragged, "slots"_a, "tokens"_a, "lengths"_a, "logits"_a = "last");
  bind_draws(module, engine);
}

}  // namespace throughtime::bindings
