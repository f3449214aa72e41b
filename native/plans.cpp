#include "plans.h"

#include <stdexcept>
#include <string>

namespace throughtime {
namespace {

// Beyond this a product of sizes could leave 31 bits.
constexpr std::size_t kLargestSide = 1 << 24;

[[noreturn]] void refuse(const char* what) { throw std::invalid_argument(std::string("the plan ") + what); }

int checked(std::int64_t value) {
  if (value < 0 || value > (std::int64_t{1} << 30)) refuse("has a size out of range");
  return static_cast<int>(value);
}

template <class Kind>
Kind kind_of(std::int64_t value, Kind last) {
  if (value < 0 || value > static_cast<std::int64_t>(last)) refuse("has an operation that does not exist");
  return static_cast<Kind>(value);
}

LaneOperation operation_of(std::int64_t value) {
  return kind_of(value, static_cast<LaneOperation>(static_cast<int>(LaneOperation::kCount) - 1));
}

// ---- steps that run

LanePlace lane_place(const std::int64_t* numbers) {
  return {checked(numbers[0]), checked(numbers[2]), checked(numbers[1])};
}

LanePlace lane_place(FlatPlan& plan) {
  const int base = plan.whole(), offset = plan.whole(), stride = plan.whole();
  return {base, stride, offset};
}

ProgramLanes lanes_of(FlatPlan& plan) {
  ProgramLanes lanes;
  lanes.blocks = plan.whole();
  lanes.grain = plan.whole();
  lanes.products = plan.wholes();
  std::size_t rows;
  for (const std::int64_t* row = plan.table(13, rows); rows > 0; --rows, row += 13)
    lanes.instructions.push_back({operation_of(row[0]),
                                  lane_place(row + 1),
                                  {lane_place(row + 4), lane_place(row + 7), lane_place(row + 10)}});
  lanes.registers = plan.whole();
  return lanes;
}

Schedule schedule_of(FlatPlan& plan) {
  Schedule schedule(plan.length());
  for (ProgramPhase& phase : schedule) {
    phase.sources = plan.wholes();
    for (std::size_t groups = plan.length(); groups > 0; --groups) phase.lanes.push_back(lanes_of(plan));
    std::size_t rows;
    for (const std::int64_t* row = plan.table(9, rows); rows > 0; --rows, row += 9)
      phase.rows.push_back({kind_of(row[0], RowKind::kNormalise),
                            lane_place(row + 1),
                            {checked(row[4]), kLanes, checked(row[5])},
                            checked(row[6]),
                            checked(row[7]),
                            checked(row[8])});
  }
  return schedule;
}

ProgramProduct product_of(FlatPlan& plan) {
  ProgramProduct product;
  product.place = lane_place(plan);
  product.units = plan.whole();
  const auto vectors = static_cast<std::size_t>(product.place.stride / kLanes);
  for (std::size_t segments = plan.length(); segments > 0; --segments) {
    const int source = plan.whole(), unit = plan.whole();
    const FlatPlan::Array* matrix = plan.array(2);
    if (matrix == nullptr || matrix->shape[0] > kLargestSide || matrix->shape[1] > kLargestSide)
      refuse("has no matrix for a product, or one that is too large");
    product.segments.push_back(
        {source, unit, static_cast<int>(matrix->shape[0]), static_cast<int>(matrix->shape[1]), matrix->data});
  }
  const FlatPlan::Array* bias = plan.array(2);  // (vectors, units)
  if (bias == nullptr) return product;
  const auto units = static_cast<std::size_t>(product.units);
  if (bias->shape[0] != vectors || bias->shape[1] != units) refuse("has a bias of no such shape");
  const auto stride = static_cast<std::size_t>(product.place.stride);
  product.bias.resize((units + kLanes - 1) / kLanes * stride);
  for (std::size_t vector = 0; vector < vectors; ++vector)
    for (std::size_t unit = 0; unit < units; ++unit)
      product.bias[unit / kLanes * stride + vector * kLanes + unit % kLanes] =
          bias->data[vector * units + unit];
  return product;
}

// ---- steps that are trained

BatchPlace batch_place(const std::int64_t* numbers) {
  return {checked(numbers[0]), checked(numbers[1]), checked(numbers[2]),
          checked(numbers[3]), checked(numbers[4]), numbers[5] != 0};
}

BatchPlace batch_place(FlatPlan& plan) {
  std::int64_t numbers[6];
  for (std::int64_t& number : numbers) number = plan.number();
  return batch_place(numbers);
}

BatchLanes batch_lanes(FlatPlan& plan, int size, std::vector<int> groups) {
  BatchLanes lanes{size, std::move(groups), {}, 0};
  std::size_t rows;
  for (const std::int64_t* row = plan.table(25, rows); rows > 0; --rows, row += 25)
    lanes.instructions.push_back({operation_of(row[0]),
                                  batch_place(row + 1),
                                  {batch_place(row + 7), batch_place(row + 13), batch_place(row + 19)}});
  lanes.registers = plan.whole();
  return lanes;
}

BatchGroup group_of(FlatPlan& plan) {
  BatchGroup group;
  group.units = plan.whole();
  for (std::size_t segments = plan.length(); segments > 0; --segments) {
    BatchSegment segment{};
    segment.source = batch_place(plan);
    segment.unit = plan.whole();
    segment.rows = plan.whole();
    segment.columns = plan.whole();
    for (std::size_t matrices = plan.length(); matrices > 0; --matrices) {
      const int weight = plan.whole(), start = plan.whole();
      const std::int64_t down = plan.number(), right = plan.number();
      segment.matrices.push_back({weight, start, down, right});
    }
    group.segments.push_back(std::move(segment));
  }
  for (std::size_t places = plan.length(); places > 0; --places) group.places.push_back(batch_place(plan));
  return group;
}

BatchPhase phase_of(FlatPlan& plan) {
  BatchPhase phase;
  for (std::size_t units = plan.length(); units > 0; --units) {
    const int size = plan.whole();
    std::vector<int> groups = plan.wholes();
    phase.units.push_back(batch_lanes(plan, size, std::move(groups)));
  }
  for (std::size_t rows = plan.length(); rows > 0; --rows) {
    BatchRows work{};
    work.kind = kind_of(plan.number(), BatchWork::kGather);
    work.size = plan.whole();
    work.lanes = batch_lanes(plan, work.size, {});
    work.source = batch_place(plan);
    work.target = batch_place(plan);
    work.length = plan.whole();
    work.index = plan.whole();
    phase.rows.push_back(std::move(work));
  }
  return phase;
}

BatchConstant constant_of(FlatPlan& plan) {
  BatchConstant constant{plan.whole(), {}, {}};
  if (const FlatPlan::Array* numbers = plan.array(1))
    constant.numbers.assign(numbers->data, numbers->data + numbers->shape[0]);
  for (std::size_t runs = plan.length(); runs > 0; --runs) {
    const int weight = plan.whole(), start = plan.whole(), count = plan.whole();
    constant.runs.push_back({weight, start, count});
  }
  return constant;
}

}  // namespace

const std::int64_t* FlatPlan::take(std::size_t count) {
  if (count > static_cast<std::size_t>(end_ - next_)) refuse("ends too early");
  const std::int64_t* taken = next_;
  next_ += count;
  return taken;
}

std::int64_t FlatPlan::number() { return *take(1); }

int FlatPlan::whole() { return checked(number()); }

std::size_t FlatPlan::length() {
  const auto count = static_cast<std::size_t>(whole());
  if (count > static_cast<std::size_t>(end_ - next_)) refuse("ends too early");
  return count;
}

std::vector<int> FlatPlan::wholes() {
  std::vector<int> found(length());
  for (int& one : found) one = whole();
  return found;
}

const std::int64_t* FlatPlan::table(std::size_t columns, std::size_t& rows) {
  rows = static_cast<std::size_t>(whole());
  if (static_cast<std::size_t>(whole()) != columns) refuse("has a table of other columns");
  return take(rows * columns);
}

const FlatPlan::Array* FlatPlan::array(std::size_t dimensions) {
  const std::int64_t index = number();
  if (index == -1) return nullptr;
  if (index < 0 || index >= static_cast<std::int64_t>(arrays_.size()))
    refuse("names an array that is not there");
  const Array& found = arrays_[static_cast<std::size_t>(index)];
  if (found.shape.size() != dimensions) refuse("has an array of another number of dimensions");
  return &found;
}

void FlatPlan::end() const {
  if (next_ != end_) refuse("does not end where it should");
}

ProgramSpec program_of(FlatPlan plan) {
  ProgramSpec spec;
  spec.input_size = plan.whole();
  spec.state_sizes = plan.wholes();
  spec.output_size = plan.whole();
  spec.output = lane_place(plan);
  spec.projected_floats = plan.whole();
  spec.scratch_floats = plan.whole();
  if (const FlatPlan::Array* constants = plan.array(1))
    spec.constants.assign(constants->data, constants->data + constants->shape[0]);
  spec.index = plan.wholes();
  for (std::size_t sources = plan.length(); sources > 0; --sources) {
    const LanePlace place = lane_place(plan);
    spec.sources.push_back({place, plan.whole()});
  }
  for (std::size_t products = plan.length(); products > 0; --products)
    spec.products.push_back(product_of(plan));
  spec.project = schedule_of(plan);
  spec.step = schedule_of(plan);
  spec.fused = schedule_of(plan);
  plan.end();
  return spec;
}

TrainingSpec training_of(FlatPlan plan) {
  TrainingSpec spec;
  spec.inputs = plan.wholes();
  spec.outputs = plan.wholes();
  spec.scratch = plan.whole();
  for (std::size_t constants = plan.length(); constants > 0; --constants)
    spec.constants.push_back(constant_of(plan));
  spec.constant_floats = plan.whole();
  for (std::size_t groups = plan.length(); groups > 0; --groups) spec.groups.push_back(group_of(plan));
  for (std::size_t phases = plan.length(); phases > 0; --phases) spec.phases.push_back(phase_of(plan));
  spec.index = plan.wholes();
  plan.end();
  return spec;
}

}  // namespace throughtime
