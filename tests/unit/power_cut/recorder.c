/* Records every change of files below $RECORD_ROOT into the file $RECORD_FILE, in order: see recorded_disk.py.
 *
 * Loaded by LD_PRELOAD. A record is a line of fields, separated by tabs: the operation, the inode, an offset, the number
 * of bytes that follow the line, and up to two paths.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static int record = -1;

#define REAL(name) \
    static typeof(name) *real; \
    if (!real) real = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    root = getenv("RECORD_ROOT");
    const char *file = getenv("RECORD_FILE");
    if (root && file)
        record = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int recorded(const char *path) {
    size_t length = root ? strlen(root) : 0;
    return record >= 0 && length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static void put(const char *operation, unsigned long inode, off_t offset, const void *data, size_t length,
                const char *path, const char *other) {
    char line[2 * PATH_MAX + 100];
    int size = snprintf(line, sizeof line, "%s\t%lu\t%ld\t%zu\t%s\t%s\n", operation, inode, (long)offset,
                        data ? length : 0, path, other);
    struct iovec parts[] = {{line, size}, {(void *)data, data ? length : 0}};
    if (syscall(SYS_writev, record, parts, 2) != size + (long)parts[1].iov_len) abort();
}

static int path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    return recorded(path);
}

/* Makes a path absolute. Folders are not resolved, so tests must use the real path of the root. */
static int absolute(int folder, const char *path, char *full) {
    char base[PATH_MAX];
    if (path[0] == '/') {
        snprintf(full, PATH_MAX, "%s", path);
        return recorded(full);
    }
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        path_of(folder, base);
    }
    if (snprintf(full, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) abort();
    return recorded(full);
}

static unsigned long inode_of(int descriptor) {
    struct stat found;
    return fstat(descriptor, &found) ? 0 : found.st_ino;
}

static int opening(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    if (!absolute(folder, path, full)) return syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = !faccessat(folder, path, F_OK, 0);
    int descriptor = syscall(SYS_openat, folder, path, flags, mode);
    int reason = errno;
    if (descriptor >= 0 && (flags & O_TMPFILE) != O_TMPFILE) {
        if (!existed) put("create", inode_of(descriptor), 0, NULL, 0, full, "");
        else if (flags & O_TRUNC) put("truncate", inode_of(descriptor), 0, NULL, 0, full, "");
    }
    pthread_mutex_unlock(&lock);
    errno = reason;
    return descriptor;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list arguments; \
        va_start(arguments, flags); \
        mode = va_arg(arguments, mode_t); \
        va_end(arguments); \
    }

int open(const char *path, int flags, ...) { MODE(flags, mode) return opening(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return opening(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags, mode) return opening(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags, mode) return opening(folder, path, flags, mode); }

/* Records what was written. An offset of -1 means the descriptor's own. */
static ssize_t wrote(int descriptor, const void *data, ssize_t count, off_t offset) {
    char path[PATH_MAX];
    int reason = errno;
    if (count > 0 && path_of(descriptor, path)) {
        if (offset < 0) offset = lseek(descriptor, 0, SEEK_CUR) - count;
        put("write", inode_of(descriptor), offset, data, count, path, "");
    }
    pthread_mutex_unlock(&lock);
    errno = reason;
    return count;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    pthread_mutex_lock(&lock);
    return wrote(descriptor, data, syscall(SYS_write, descriptor, data, size), -1);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off_t offset) {
    pthread_mutex_lock(&lock);
    return wrote(descriptor, data, syscall(SYS_pwrite64, descriptor, data, size, offset), offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return pwrite64(descriptor, data, size, offset);
}

#define ON_DESCRIPTOR(name, operation, size, ...) \
    { \
        REAL(name); \
        char path[PATH_MAX]; \
        pthread_mutex_lock(&lock); \
        int result = real(__VA_ARGS__), reason = errno; \
        if (!result && path_of(descriptor, path)) put(operation, inode_of(descriptor), size, NULL, 0, path, ""); \
        pthread_mutex_unlock(&lock); \
        errno = reason; \
        return result; \
    }

int fsync(int descriptor) ON_DESCRIPTOR(fsync, "sync", 0, descriptor)
int fdatasync(int descriptor) ON_DESCRIPTOR(fdatasync, "sync", 0, descriptor)
int ftruncate(int descriptor, off_t size) ON_DESCRIPTOR(ftruncate, "truncate", size, descriptor, size)
int ftruncate64(int descriptor, off_t size) ON_DESCRIPTOR(ftruncate64, "truncate", size, descriptor, size)

#define ON_PATHS(operation, folder, path, other_folder, other, call) \
    { \
        char full[PATH_MAX], target[PATH_MAX] = ""; \
        int within = absolute(folder, path, full); \
        if ((other)[0]) within |= absolute(other_folder, other, target); \
        pthread_mutex_lock(&lock); \
        int result = call, reason = errno; \
        if (!result && within) put(operation, 0, 0, NULL, 0, full, target); \
        pthread_mutex_unlock(&lock); \
        errno = reason; \
        return result; \
    }

int rename(const char *from, const char *to)
    ON_PATHS("rename", AT_FDCWD, from, AT_FDCWD, to, syscall(SYS_rename, from, to))
int renameat(int a, const char *from, int b, const char *to)
    ON_PATHS("rename", a, from, b, to, syscall(SYS_renameat, a, from, b, to))
int link(const char *from, const char *to)
    ON_PATHS("link", AT_FDCWD, from, AT_FDCWD, to, syscall(SYS_link, from, to))
int linkat(int a, const char *from, int b, const char *to, int flags)
    ON_PATHS("link", a, from, b, to, syscall(SYS_linkat, a, from, b, to, flags))
int unlink(const char *path)
    ON_PATHS("remove", AT_FDCWD, path, AT_FDCWD, "", syscall(SYS_unlink, path))
int unlinkat(int a, const char *path, int flags)
    ON_PATHS("remove", a, path, AT_FDCWD, "", syscall(SYS_unlinkat, a, path, flags))
int rmdir(const char *path)
    ON_PATHS("remove", AT_FDCWD, path, AT_FDCWD, "", syscall(SYS_rmdir, path))
int mkdir(const char *path, mode_t mode)
    ON_PATHS("mkdir", AT_FDCWD, path, AT_FDCWD, "", syscall(SYS_mkdir, path, mode))
int mkdirat(int a, const char *path, mode_t mode)
    ON_PATHS("mkdir", a, path, AT_FDCWD, "", syscall(SYS_mkdirat, a, path, mode))
