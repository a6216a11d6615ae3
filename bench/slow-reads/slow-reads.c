/*
 * Preloaded into Postgres, makes every read of pages last longer, as on a network disk. Reads of less than a
 * page (configuration, control file) are left alone. SLOW_READ_US: microseconds a read.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define PAGE 8192

static void wait_a_little(void) {
  static long us = -1;
  if (us < 0) {
    const char *given = getenv("SLOW_READ_US");
    us = given ? atol(given) : 0;
  }
  if (us == 0) return;
  prctl(PR_SET_TIMERSLACK, 1);
  struct timespec pause = {0, us * 1000};
  nanosleep(&pause, NULL);
}

ssize_t pread(int file, void *to, size_t size, off_t at) {
  static ssize_t (*real)(int, void *, size_t, off_t);
  if (!real) real = dlsym(RTLD_NEXT, "pread");
  if (size >= PAGE) wait_a_little();
  return real(file, to, size, at);
}

ssize_t pread64(int file, void *to, size_t size, off64_t at) {
  static ssize_t (*real)(int, void *, size_t, off64_t);
  if (!real) real = dlsym(RTLD_NEXT, "pread64");
  if (size >= PAGE) wait_a_little();
  return real(file, to, size, at);
}

ssize_t preadv(int file, const struct iovec *to, int count, off_t at) {
  static ssize_t (*real)(int, const struct iovec *, int, off_t);
  if (!real) real = dlsym(RTLD_NEXT, "preadv");
  wait_a_little();
  return real(file, to, count, at);
}

ssize_t preadv64(int file, const struct iovec *to, int count, off64_t at) {
  static ssize_t (*real)(int, const struct iovec *, int, off64_t);
  if (!real) real = dlsym(RTLD_NEXT, "preadv64");
  wait_a_little();
  return real(file, to, count, at);
}
