// Plans of cells as Python lays them out: they run, they train, and damaged ones are refused.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "plans.h"
#include "scan.h"
#include "testing.h"

namespace throughtime::testing {
namespace {

enum class PlanKind : std::int64_t { kProgram, kTraining };

// A plan and the memory that it points into.
struct PlanFile {
  PlanKind kind = PlanKind::kProgram;
  std::vector<std::int64_t> numbers;
  std::vector<Floats> kept;
  std::vector<FlatPlan::Array> arrays;

  FlatPlan plan() const { return {numbers.data(), numbers.size(), arrays}; }
};

PlanFile read_plan(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const auto number = [&] {
    std::int64_t value = 0;
    file.read(reinterpret_cast<char*>(&value), sizeof value);
    check(file.good(), path + " ends too early");
    return value;
  };
  PlanFile read;
  read.kind = static_cast<PlanKind>(number());
  read.numbers.resize(static_cast<std::size_t>(number()));
  for (std::int64_t& one : read.numbers) one = number();
  for (std::int64_t arrays = number(); arrays > 0; --arrays) {
    std::vector<std::size_t> shape(static_cast<std::size_t>(number()));
    std::size_t size = 1;
    for (std::size_t& side : shape) size *= side = static_cast<std::size_t>(number());
    read.kept.emplace_back(size);
    file.read(reinterpret_cast<char*>(read.kept.back().data()),
              static_cast<std::streamsize>(size * sizeof(float)));
    read.arrays.push_back({read.kept.back().data(), shape});
  }
  check(file.good(), path + " ends too early");
  return read;
}

void check_program(const PlanFile& file, const std::string& name) {
  for (const Kernels* kernels : versions())
    for (const Precision precision : kPrecisions)
      check_steps(ProgramLayer(program_of(file.plan()), precision, *kernels), kernels->name + (" " + name));
  const ProgramLayer layer(program_of(file.plan()), Precision::kFloat32, kernels());
  for (const auto& [T, B] : {std::pair(0, 2), std::pair(2, 0), std::pair(1, 1), std::pair(5, 11)})
    check_scan(layer, static_cast<std::size_t>(T), static_cast<std::size_t>(B), name);
}

// A number of the plan is another: refused, or at least nothing is read or written outside.
void check_damaged(const PlanFile& file, const std::string& name) {
  for (std::size_t at = 0; at < file.numbers.size(); ++at) {
    PlanFile damaged = file;
    damaged.numbers.resize(at);
    check_throws<std::invalid_argument>([&] { program_of(damaged.plan()); }, name + ": a part of the plan");
    for (const std::int64_t change : {-1, 1, 16}) {
      damaged.numbers = file.numbers;
      damaged.numbers[at] += change;
      try {
        const ProgramLayer layer(program_of(damaged.plan()), Precision::kFloat32, kernels());
        std::vector<Floats> state;
        std::vector<float*> parts;
        for (const int size : layer.state_sizes()) state.emplace_back(2 * static_cast<std::size_t>(size));
        for (Floats& part : state) parts.push_back(part.data());
        const Floats inputs(4 * static_cast<std::size_t>(layer.input_size()));
        Floats outputs(4 * static_cast<std::size_t>(layer.output_size()));
        scan(layer, inputs.data(), 2, 2, nullptr, false, parts, outputs.data(), 1);
      } catch (const std::invalid_argument&) {
      }
    }
  }
}

// Memory as long as the plan reads it of each weight.
std::vector<Floats> weights_of(const TrainingSpec& spec) {
  std::vector<std::size_t> sizes;
  const auto needs = [&](int weight, std::ptrdiff_t floats) {
    const auto number = static_cast<std::size_t>(weight);
    if (sizes.size() <= number) sizes.resize(number + 1);
    sizes[number] = std::max(sizes[number], static_cast<std::size_t>(floats));
  };
  for (const BatchGroup& group : spec.groups)
    for (const BatchSegment& segment : group.segments)
      for (const BatchMatrix& matrix : segment.matrices)
        needs(matrix.weight,
              matrix.start + (segment.rows - 1) * matrix.down + (segment.columns - 1) * matrix.right + 1);
  for (const BatchConstant& constant : spec.constants)
    for (const BatchConstant::Run& run : constant.runs) needs(run.weight, run.start + run.count);
  std::vector<Floats> weights;
  for (const std::size_t size : sizes) weights.push_back(random_floats(size, 0.4f));
  return weights;
}

void check_training(const Kernels& kernels, const PlanFile& file, int steps, int batch,
                    const std::string& name) {
  const TrainingStep step(training_of(file.plan()), kernels);
  const TrainingSpec& spec = step.spec();
  const std::vector<Floats> weights = weights_of(spec);
  std::vector<const float*> places;
  for (const Floats& one : weights) places.push_back(one.data());
  const auto rows = [&](int width) {
    return static_cast<std::size_t>(batch) * static_cast<std::size_t>(width);
  };
  std::vector<Floats> inputs, outside, expected;
  for (const int width : spec.inputs) {
    inputs.push_back(random_floats(static_cast<std::size_t>(steps) * rows(width)));
    outside.push_back(random_floats(rows(width)));
  }
  for (const bool backward : {false, true})
    for (const int threads : {1, 2, 3}) {
      std::vector<Floats> outputs;
      std::vector<Sequence> sequences;
      for (std::size_t k = 0; k < inputs.size(); ++k)
        // Each input but the first comes a step later, as a state does.
        sequences.push_back({inputs[k].data(), static_cast<std::ptrdiff_t>(rows(spec.inputs[k])),
                             k == 0     ? 0
                             : backward ? 1
                                        : -1,
                             outside[k].data(), nullptr});
      for (const int width : spec.outputs)
        outputs.emplace_back(static_cast<std::size_t>(steps) * rows(width));
      for (std::size_t k = 0; k < outputs.size(); ++k)
        sequences.push_back(
            {outputs[k].data(), static_cast<std::ptrdiff_t>(rows(spec.outputs[k])), 0, nullptr, nullptr});
      step.run(places, sequences, steps, batch, backward, threads);
      if (threads == 1) expected = outputs;
      for (std::size_t k = 0; k < outputs.size(); ++k)
        // The very bits: some of a random plan's numbers may be NaN.
        check(outputs[k].empty() ||
                  std::memcmp(outputs[k].data(), expected[k].data(), outputs[k].size() * sizeof(float)) == 0,
              std::string(kernels.name) + " " + name + ": threads change a trained step");
    }
}

}  // namespace

void test_plans(const std::vector<std::string>& files) {
  for (const std::string& name : files) {
    const PlanFile file = read_plan(name);
    if (file.kind == PlanKind::kProgram) {
      check_program(file, name);
      check_damaged(file, name);
    } else {
      for (const Kernels* kernels : versions())
        for (const auto& [steps, batch] : {std::pair(0, 2), std::pair(1, 1), std::pair(3, 7)})
          check_training(*kernels, file, steps, batch, name);
    }
  }
}

}  // namespace throughtime::testing
