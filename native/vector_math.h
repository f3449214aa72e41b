// exp, sigmoid and tanh of vectors of floats. Included beside simd.h, in the same unnamed namespace.
//
// Their largest errors are measured and held by tests/runtime/test_kernels.py, and stated in docs/runtime.md.
// NaN stays NaN.
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

inline F absolute(F x) { return as_float(and_lanes(as_lanes(x), set_lanes(0x7fffffffu))); }
inline F negative(F x) { return subtract(set(-0.0f), x); }

// NaN wherever one of the two is.
inline F larger(F a, F b) { return equal(b, b, less(a, b, b, a), b); }
inline F smaller(F a, F b) { return equal(b, b, less(b, a, b, a), b); }

// log x = n ln 2 + log(1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1]; the polynomial is Cephes' logf (Moshier
// 1992).
inline F log(F x) {
  // Denormals are lifted among the normal numbers first.
  const F least = set(1.17549435e-38f), zero = set(0.0f);
  const F lifted = less(x, least, multiply(x, set(8388608.0f)), x);
  const I whole = as_lanes(lifted);
  F n = add(to_float(shift_right<23>(whole)), less(x, least, set(-150.0f), set(-127.0f)));
  F m = as_float(or_lanes(and_lanes(whole, set_lanes(0x007fffffu)), set_lanes(0x3f800000u)));
  const F half = set(1.41421356f);
  n = less(half, m, add(n, set(1.0f)), n);
  m = less(half, m, multiply(m, set(0.5f)), m);
  const F f = subtract(m, set(1.0f)), square = multiply(f, f);
  F p = set(7.0376836292e-2f);
  p = multiply_add(p, f, set(-1.1514610310e-1f));
  p = multiply_add(p, f, set(1.1676998740e-1f));
  p = multiply_add(p, f, set(-1.2420140846e-1f));
  p = multiply_add(p, f, set(1.4249322787e-1f));
  p = multiply_add(p, f, set(-1.6668057665e-1f));
  p = multiply_add(p, f, set(2.0000714765e-1f));
  p = multiply_add(p, f, set(-2.4999993993e-1f));
  p = multiply_add(p, f, set(3.3333331174e-1f));
  F sum = multiply(multiply(p, f), square);
  sum = multiply_add(n, set(-2.12194440e-4f), sum);
  sum = multiply_add(square, set(-0.5f), sum);
  const F result = multiply_add(n, set(0.693359375f), add(f, sum));
  const F infinity = set(__builtin_inff());
  // log 0 = -inf; below it and for NaN there is none; infinity stays.
  const F positive = less(x, infinity, result, x);
  return less(zero, x, positive, equal(x, zero, negative(infinity), set(__builtin_nanf(""))));
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). With u = 1 + e rounded, log(u) e / (u - 1) is log(1 + e)
// (Kahan).
inline F softplus(F x) {
  const F one = set(1.0f), zero = set(0.0f);
  const F e = exp(negative(absolute(x)));
  const F u = add(one, e), rounded = subtract(u, one);
  const F small = equal(rounded, zero, e, divide(multiply(log(u), e), equal(rounded, zero, one, rounded)));
  return add(larger(x, zero), small);
}
