// exp, sigmoid and tanh of vectors of floats. Included beside simd.h, in the same unnamed namespace.
//
// Largest errors over all floats are measured by benchmarks/activation_accuracy.py and held by
// tests/runtime/test_kernels.py. NaN stays NaN.
#pragma once

// exp(x) = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2. ln 2 in two parts, the first with so few bits
// that n times it is exact (Cody and Waite 1980).
inline F reduce(F x, F& power) {
  const F n = round_even(multiply(x, set(1.44269504088896341f)));
  power = power_of_two(n);
  return multiply_add(n, set(2.12194440e-4f), multiply_add(n, set(-0.693359375f), x));
}

// e^r - 1 for |r| <= ln 2 / 2: r + r^2 p(r), p the minimax polynomial of Cephes' expf (Moshier 1992).
inline F exp_less_one(F r) {
  F p = set(1.9875691500e-4f);
  p = multiply_add(p, r, set(1.3981999507e-3f));
  p = multiply_add(p, r, set(8.3334519073e-3f));
  p = multiply_add(p, r, set(4.1665795894e-2f));
  p = multiply_add(p, r, set(1.6666665459e-1f));
  p = multiply_add(p, r, set(5.0000001201e-1f));
  return multiply_add(multiply(r, r), p, r);
}

// Below -87.3 the result would be denormal: it stays at 2^-126.
inline F exp(F x) {
  F power;
  const F r = reduce(at_most(88.3f, at_least(-87.3f, x)), power);
  return multiply_add(exp_less_one(r), power, power);
}

inline F sigmoid(F x) {
  const F one = set(1.0f);
  return divide(one, add(one, exp(subtract(set(0.0f), x))));
}

// tanh x = e / (e + 2) with e = exp(2x) - 1, which loses nothing near 0. From 9.02 on it is 1 in fp32.
inline F tanh(F x) {
  const F bounded = at_most(9.1f, at_least(-9.1f, x));
  F power;
  const F r = reduce(add(bounded, bounded), power);
  const F e = multiply_add(exp_less_one(r), power, subtract(power, set(1.0f)));
  return divide(e, add(e, set(2.0f)));
}
