/* SPDX-License-Identifier: MIT */
#include "base/wakefd.h"

#include "evbus/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int32_t evb__wakefd_open(int fd[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0) {
        fd[0] = fd[1] = -1;
        return EVB_EAGAIN;
    }
    if (prepare(fd[0]) == 0 && prepare(fd[1]) == 0) return EVB_OK;
    evb__wakefd_close(fd);
    return EVB_EAGAIN;
}

void evb__wakefd_tell(const int fd[2])
{
    ssize_t sent;
    int error = errno;

    do
        sent = send(fd[1], "", 1, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR); /* a full buffer is as good: it is readable */
    errno = error;
}

void evb__wakefd_clear(const int fd[2])
{
    char bytes[64];
    int error = errno;
    ssize_t got;

    do
        got = recv(fd[0], bytes, sizeof bytes, 0);
    while (got == (ssize_t)sizeof bytes || (got < 0 && errno == EINTR));
    errno = error;
}

void evb__wakefd_close(int fd[2])
{
    if (fd[0] >= 0) (void)close(fd[0]);
    if (fd[1] >= 0) (void)close(fd[1]);
    fd[0] = fd[1] = -1;
}
