// Plans of steps that are trained (throughtime.runtime.planning.training) as the native part has them.
#include <array>

#include "bindings.h"
#include "training.h"

namespace throughtime::bindings {
namespace {

using Numbers = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

int whole(std::int64_t value) {
  if (value < 0 || value > (std::int64_t{1} << 30))
    throw std::invalid_argument("the training plan has a size out of range");
  return static_cast<int>(value);
}

BatchPlace place_of(const std::int64_t* numbers) {
  return {whole(numbers[0]), whole(numbers[1]), whole(numbers[2]),
          whole(numbers[3]), whole(numbers[4]), numbers[5] != 0};
}

BatchPlace place_of(const nb::handle& given) {
  const auto numbers = nb::cast<std::array<std::int64_t, 6>>(given);
  return place_of(numbers.data());
}

std::vector<BatchInstruction> instructions_of(const nb::handle& given) {
  const auto numbers = nb::cast<Numbers>(given);
  if (numbers.shape(1) != 25)
    throw std::invalid_argument("the training plan's instructions have no 25 numbers");
  std::vector<BatchInstruction> instructions;
  for (std::size_t k = 0; k < numbers.shape(0); ++k) {
    const std::int64_t* row = numbers.data() + 25 * k;
    if (row[0] < 0 || row[0] >= static_cast<int>(LaneOperation::kCount))
      throw std::invalid_argument("the training plan has an operation that does not exist");
    instructions.push_back({static_cast<LaneOperation>(row[0]),
                            place_of(row + 1),
                            {place_of(row + 7), place_of(row + 13), place_of(row + 19)}});
  }
  return instructions;
}

BatchGroup group_of(const nb::tuple& given) {
  BatchGroup group;
  group.units = whole(nb::cast<std::int64_t>(given[0]));
  for (nb::handle one : nb::cast<nb::list>(given[1])) {
    const auto fields = nb::cast<nb::tuple>(one);
    BatchSegment segment{place_of(fields[0]),
                         whole(nb::cast<std::int64_t>(fields[1])),
                         whole(nb::cast<std::int64_t>(fields[2])),
                         whole(nb::cast<std::int64_t>(fields[3])),
                         {}};
    for (nb::handle matrix : nb::cast<nb::list>(fields[4])) {
      const auto numbers = nb::cast<std::array<std::int64_t, 4>>(matrix);
      segment.matrices.push_back({whole(numbers[0]), whole(numbers[1]), numbers[2], numbers[3]});
    }
    group.segments.push_back(std::move(segment));
  }
  for (nb::handle place : nb::cast<nb::list>(given[2])) group.places.push_back(place_of(place));
  return group;
}

BatchPhase phase_of(const nb::tuple& given) {
  BatchPhase phase;
  for (nb::handle one : nb::cast<nb::list>(given[0])) {
    const auto fields = nb::cast<nb::tuple>(one);
    phase.units.push_back({whole(nb::cast<std::int64_t>(fields[0])), nb::cast<std::vector<int>>(fields[1]),
                           instructions_of(fields[2]), whole(nb::cast<std::int64_t>(fields[3]))});
  }
  for (nb::handle one : nb::cast<nb::list>(given[1])) {
    const auto fields = nb::cast<nb::tuple>(one);
    const auto kind = nb::cast<std::int64_t>(fields[0]);
    if (kind < 0 || kind > static_cast<int>(BatchWork::kGather))
      throw std::invalid_argument("the training plan has work that does not exist");
    BatchRows rows{};
    rows.kind = static_cast<BatchWork>(kind);
    rows.size = whole(nb::cast<std::int64_t>(fields[1]));
    rows.lanes = {rows.size, {}, instructions_of(fields[2]), whole(nb::cast<std::int64_t>(fields[3]))};
    if (rows.kind != BatchWork::kLanes) {
      rows.source = place_of(fields[4]);
      rows.target = place_of(fields[5]);
    }
    rows.length = whole(nb::cast<std::int64_t>(fields[6]));
    rows.index = whole(nb::cast<std::int64_t>(fields[7]));
    phase.rows.push_back(std::move(rows));
  }
  return phase;
}

TrainingSpec spec_of(const nb::dict& plan) {
  TrainingSpec spec;
  spec.inputs = nb::cast<std::vector<int>>(plan["inputs"]);
  spec.outputs = nb::cast<std::vector<int>>(plan["outputs"]);
  spec.scratch = whole(nb::cast<std::int64_t>(plan["scratch"]));
  spec.constant_floats = whole(nb::cast<std::int64_t>(plan["constant_floats"]));
  for (nb::handle one : nb::cast<nb::list>(plan["constants"])) {
    const auto fields = nb::cast<nb::tuple>(one);
    const auto numbers = nb::cast<Floats<1>>(fields[1]);
    BatchConstant constant{
        whole(nb::cast<std::int64_t>(fields[0])), {numbers.data(), numbers.data() + numbers.shape(0)}, {}};
    for (nb::handle run : nb::cast<nb::list>(fields[2])) {
      const auto parts = nb::cast<std::array<std::int64_t, 3>>(run);
      constant.runs.push_back({whole(parts[0]), whole(parts[1]), whole(parts[2])});
    }
    spec.constants.push_back(std::move(constant));
  }
  for (nb::handle one : nb::cast<nb::list>(plan["groups"]))
    spec.groups.push_back(group_of(nb::cast<nb::tuple>(one)));
  for (nb::handle one : nb::cast<nb::list>(plan["phases"]))
    spec.phases.push_back(phase_of(nb::cast<nb::tuple>(one)));
  spec.index = nb::cast<std::vector<int>>(plan["index"]);
  return spec;
}

// The addresses of tensors are the caller's to check: throughtime/kernels/native.py makes them all.
void run(const TrainingStep& step, const std::vector<std::uintptr_t>& weights, const Numbers& sequences,
         int steps, int batch, bool backward, int threads) {
  if (sequences.shape(1) != 5 || sequences.shape(0) != step.sequences())
    throw std::invalid_argument("a training step has another number of inputs and outputs");
  if (threads < 1 || threads > kMostThreads || steps < 0 || batch < 0)
    throw std::invalid_argument("a training step runs with no such numbers");
  std::vector<const float*> places;
  for (std::uintptr_t address : weights) places.push_back(reinterpret_cast<const float*>(address));
  std::vector<Sequence> rows;
  for (std::size_t k = 0; k < sequences.shape(0); ++k) {
    const std::int64_t* one = sequences.data() + 5 * k;
    rows.push_back({reinterpret_cast<float*>(one[0]), static_cast<std::ptrdiff_t>(one[1]),
                    static_cast<int>(one[2]), reinterpret_cast<float*>(one[3]),
                    reinterpret_cast<float*>(one[4])});
  }
  const nb::gil_scoped_release release;
  step.run(places, rows, steps, batch, backward, threads);
}

// An array of floats of any content, whose memory goes back to the arena when nobody holds it any longer.
nb::ndarray<nb::numpy, float, nb::ndim<1>> memory(std::size_t floats) {
  auto* buffer = new Buffer<float>(arena().take(floats));
  const nb::capsule owner(buffer, [](void* held) noexcept {
    auto* mine = static_cast<Buffer<float>*>(held);
    arena().give(std::move(*mine));
    delete mine;
  });
  return nb::ndarray<nb::numpy, float, nb::ndim<1>>(buffer->data(), {floats}, owner);
}

}  // namespace

void bind_training(nb::module_& module) {
  nb::class_<TrainingStep>(module, "TrainingStep")
      .def(
          "__init__",
          [](TrainingStep* self, const nb::dict& plan, const std::string& isa) {
            new (self) TrainingStep(spec_of(plan), kernels_of(isa));
          },
          "plan"_a, "isa"_a = "")
      .def("run", run, "weights"_a, "sequences"_a, "steps"_a, "batch"_a, "backward"_a, "threads"_a)
      .def_prop_ro("work", &TrainingStep::work);
  module.def("training_memory", memory, "floats"_a);
}

}  // namespace throughtime::bindings
