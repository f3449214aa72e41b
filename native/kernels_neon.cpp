// See CMakeLists.txt for the instructions that this file is compiled for.
#define THROUGHTIME_NAME "neon"
#define THROUGHTIME_TABLE kernels_neon
#include "kernels_impl.h"
