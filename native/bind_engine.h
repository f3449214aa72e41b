// What the files that bind the engine share.
#pragma once

#include "bindings.h"
#include "engine.h"

namespace throughtime::bindings {

// The thread in which Python runs the handlers of signals; set when the module is imported. In a process that
// another thread forked it is wrong, and calls there end before a signal is seen.
extern unsigned long main_thread;

bool signal_raised();

// Runs a call on an engine without the interpreter's lock: no thread of Python stands still while this one
// waits for its turn or computes. Where a signal's handler raises, the call is given up, and that is what the
// caller gets. Only the main thread asks: in others no handler ever runs, and each question would cost the
// wait for the lock.
template <class Call>
auto without_python(Call&& call) {
  const GivesUp gives_up = PyThread_get_thread_ident() == main_thread ? GivesUp(signal_raised) : GivesUp();
  try {
    const nb::gil_scoped_release released;
    return call(gives_up);
  } catch (const GivenUp&) {
    throw nb::python_error();
  }
}

inline Slots slot_list(const Whole<1>& slots) { return {slots.data(), slots.data() + slots.shape(0)}; }

inline nb::ndarray<nb::numpy, std::int64_t> array_of(const std::vector<std::int64_t>& values) {
  NewArray<std::int64_t> array({values.size()});
  std::copy(values.begin(), values.end(), array.data());
  return array.give();
}

inline void check_count(const char* what, std::size_t found, std::size_t slots) {
  if (found != slots)
    throw std::invalid_argument("there are " + std::to_string(found) + " " + what + " for " +
                                std::to_string(slots) + " slots");
}

// bind_draws.cpp
void bind_draws(nb::module_& module, nb::class_<Engine>& engine);

}  // namespace throughtime::bindings
