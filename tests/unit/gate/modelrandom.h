/* SPDX-License-Identifier: Apache-2.0 */
/* Chance that can be replayed: also for OpenSSL, and so for all that is linked with it. */
#ifndef MODELRANDOM_H
#define MODELRANDOM_H

#include <stdint.h>

void model_random_install(void);
void model_random_seed(uint64_t seed);
uint64_t model_random(void);
uint64_t model_random_below(uint64_t n);
int64_t model_random_between(int64_t least, int64_t most); /* most is not included */

#endif
